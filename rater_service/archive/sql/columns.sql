-- The columns of a table or view in their order, with their types as PostgreSQL writes them.
-- :table: its name.
SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type
FROM pg_attribute
WHERE attrelid = :table::text::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
