-- The tables whose rows the database numbers, with the column and the sequence for it. can_be_told: whether this role
-- may know the highest number that is there and the last one that was given.
SELECT
    numbered,
    number,
    sequence,
    has_column_privilege(relation, column_number, 'SELECT') AND has_sequence_privilege(sequence, 'USAGE, SELECT')
        AS can_be_told
FROM (
    SELECT
        pg_class.oid AS relation,
        attnum AS column_number,
        quote_ident(relname) AS numbered,
        quote_ident(attname) AS number,
        pg_get_serial_sequence(quote_ident(relname), attname) AS sequence
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND attidentity <> '' AND NOT attisdropped
) AS tables
ORDER BY numbered
