-- When events of an hour were dropped last; no row if they are all there.
-- :hour: the hour.
SELECT pruned_at, pruned_by
FROM pruned_event_range
WHERE window_start <= :hour AND window_end > :hour
ORDER BY pruned_at DESC
LIMIT 1
