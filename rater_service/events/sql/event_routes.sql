-- The partitions of stored_event as events are written to them, in the order of their ids, the default one last. One that
-- is being detached takes no events any more.
SELECT event_partition.name, nspname::text AS schema, inhrelid AS id, lower_id, upper_id, is_default
FROM event_partition
JOIN pg_inherits ON inhparent = 'stored_event'::regclass AND NOT inhdetachpending
JOIN pg_class ON pg_class.oid = inhrelid AND pg_class.relname = event_partition.name
JOIN pg_namespace ON pg_namespace.oid = relnamespace
ORDER BY is_default, lower_id NULLS FIRST
