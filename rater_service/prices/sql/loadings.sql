-- Every loading there was, in order, without the books.
SELECT number, content_hash, source, loaded_at, loaded_by, db_role, in_force_from, replaced_by, withdrawn_at, withdrawn_by
FROM every_price_loading
ORDER BY number
