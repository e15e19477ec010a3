-- The partitions of stored_event in the order of their ids, the default one last.
SELECT name, lower_id, upper_id, is_default
FROM event_partition
ORDER BY is_default, lower_id NULLS FIRST
