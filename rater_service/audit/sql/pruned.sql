-- How many events were pruned together with events of the window, and how many of them can be read in the archive.
-- :window_start, :window_end: the window, its end exclusive; :archived_ranges: which are in the archive as they should be.
SELECT
    coalesce(sum(event_count) FILTER (WHERE id <> ALL (:archived_ranges::bigint[])), 0)::bigint AS pruned_events,
    coalesce(sum(event_count) FILTER (WHERE id = ANY (:archived_ranges::bigint[])), 0)::bigint AS archived_events
FROM pruned_event_range
WHERE window_start < :window_end AND window_end > :window_start
