-- Which ids have a partition, or had one until it was pruned: no other may take them. The default one takes what is left.
SELECT name, lower_id, upper_id, is_default
FROM event_partition
UNION ALL
SELECT partition_name AS name, lower_id, upper_id, false AS is_default
FROM pruned_event_range
WHERE upper_id IS NOT NULL
