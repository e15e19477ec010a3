-- The files of events that were dropped, by the time of their events.
-- :window_start, :window_end: those with events of hours of this window, its end exclusive (NULL: no such bound);
-- :request_id: those among whose ids it would be (NULL: no such condition).
SELECT
    file.id, archive, file.name, sha256, size, next_sha256, next_size, archived_at, archived_by,
    pruned.id AS range_id, partition_name, lower_id, upper_id, event_count, first_event_time, last_event_time,
    window_start, window_end, pruned_at
FROM archived_file AS file
JOIN pruned_event_range AS pruned ON pruned.id = file.range_id
WHERE (:window_end::timestamptz IS NULL OR window_start < :window_end)
    AND (:window_start::timestamptz IS NULL OR window_end > :window_start)
    -- Of the default partition any id may be.
    AND (:request_id::uuid IS NULL OR lower_id IS NULL OR lower_id <= :request_id)
    AND (:request_id::uuid IS NULL OR upper_id IS NULL OR upper_id > :request_id)
ORDER BY first_event_time, file.id
