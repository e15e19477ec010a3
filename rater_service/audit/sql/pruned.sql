-- How many events were pruned together with events of the window.
-- $1: start of the window, $2: its end, exclusive.
SELECT coalesce(sum(event_count), 0)::bigint AS events, max(pruned_at) AS pruned_at
FROM pruned_event_range
WHERE window_start < $2 AND window_end > $1
