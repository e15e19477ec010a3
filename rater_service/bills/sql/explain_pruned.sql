-- When events of an hour were dropped last; no row if they are all there.
-- $1: the hour.
SELECT pruned_at, pruned_by
FROM pruned_event_range
WHERE window_start <= $1 AND window_end > $1
ORDER BY pruned_at DESC
LIMIT 1
