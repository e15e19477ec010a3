-- What this role may do with each table and sequence beside the table of events. owned: it is, or may become, the owner. Events
-- are written to partitions: what a role may not do with one of them, it may not do with the table.
SELECT
    relname AS name, relkind = 'S' AS is_sequence, pg_has_role(relowner, 'MEMBER') AS owned,
    CASE relkind WHEN 'S' THEN has_sequence_privilege(oid, 'USAGE') ELSE has_table_privilege(oid, 'SELECT') END AS reads,
    CASE relkind
        WHEN 'S' THEN has_sequence_privilege(oid, 'USAGE')
        ELSE has_table_privilege(oid, 'INSERT') AND NOT EXISTS (
            SELECT FROM pg_inherits WHERE inhparent = oid AND NOT has_table_privilege(inhrelid, 'INSERT'))
    END AS adds,
    relkind <> 'S' AND has_table_privilege(oid, 'UPDATE') AND NOT EXISTS (
        SELECT FROM pg_inherits WHERE inhparent = oid AND NOT has_table_privilege(inhrelid, 'UPDATE')) AS changes,
    relkind <> 'S' AND has_table_privilege(oid, 'DELETE') AS deletes
FROM pg_class
WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('billing_event'))
    AND relkind IN ('r', 'p', 'S') AND NOT relispartition
ORDER BY relname
