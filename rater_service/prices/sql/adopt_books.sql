-- Makes loadings of books that have none, because version 0.1.0 loaded them; see every_price_loading.
INSERT INTO price_loading (content_hash, source, loaded_at, db_role, in_force_from)
SELECT content_hash, source, loaded_at, db_role, in_force_from
FROM every_price_loading
WHERE number > (SELECT coalesce(max(number), 0) FROM price_loading)
ORDER BY number
