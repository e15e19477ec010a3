-- How many of the partitions that took events still are partitions of stored_event: no event may end beside it. For
-- hourly_usage_add.sql.
-- :partitions: which, by their numbers in the catalog.
SELECT count(*)
FROM pg_inherits
WHERE inhrelid IN (SELECT number::oid FROM unnest(:partitions::bigint[]) AS number)
    AND inhparent = 'stored_event'::regclass AND NOT inhdetachpending
