-- The files that events were exported to before they were dropped, which Phoebe does not read again.
SELECT export_path
FROM pruned_event_range
WHERE export_path IS NOT NULL
ORDER BY id
