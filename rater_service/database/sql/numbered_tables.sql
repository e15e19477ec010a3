-- The tables whose rows the database numbers, with the column and the sequence for it.
SELECT
    quote_ident(relname) AS numbered,
    quote_ident(attname) AS number,
    pg_get_serial_sequence(quote_ident(relname), attname) AS sequence
FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND attidentity <> '' AND NOT attisdropped
ORDER BY relname
