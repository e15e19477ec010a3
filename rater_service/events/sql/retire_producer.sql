-- Notes that a producer will never come back. Returns whether it is known.
-- :producer_id: which producer, :retired_at: now, :retired_by: who says so.
UPDATE producer
SET retired = true, retired_at = :retired_at, retired_by = :retired_by
WHERE producer_id = :producer_id
RETURNING true
