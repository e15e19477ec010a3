-- How many events were pruned together with events of the window.
-- :window_start, :window_end: the window, its end exclusive.
SELECT coalesce(sum(event_count), 0)::bigint AS events, max(pruned_at) AS pruned_at
FROM pruned_event_range
WHERE window_start < :window_end AND window_end > :window_start
