-- When events of an hour were dropped last without being archived; NULL: all that were dropped are archived.
-- :hour: the hour.
SELECT max(pruned_at) AS pruned_at
FROM pruned_event_range AS pruned
WHERE window_start <= :hour AND window_end > :hour
    AND NOT EXISTS (SELECT FROM archived_file WHERE range_id = pruned.id)
