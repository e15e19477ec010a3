-- Notes that a producer will never come back. Returns whether it is known.
-- $1: producer id, $2: now, $3: who says so.
UPDATE producer
SET retired = true, retired_at = $2, retired_by = $3
WHERE producer_id = $1
RETURNING true
