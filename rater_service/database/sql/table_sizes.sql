-- How large each table of the schema is, with its partitions and indexes. Nothing is counted: the rows are those that
-- PostgreSQL found when it looked last, or, where it never has, as many of 200 bytes as there is room for.
SELECT
    coalesce(parent.relname, own.relname)::text AS name,
    sum(CASE WHEN own.reltuples < 0 THEN pg_relation_size(own.oid) / 200 ELSE own.reltuples END)::bigint AS rows,
    sum(pg_total_relation_size(own.oid))::bigint AS bytes
FROM pg_class AS own
LEFT JOIN pg_inherits ON inhrelid = own.oid AND own.relispartition
LEFT JOIN pg_class AS parent ON parent.oid = inhparent
WHERE own.relnamespace = current_schema()::regnamespace AND own.relkind IN ('r', 'p')
GROUP BY 1
