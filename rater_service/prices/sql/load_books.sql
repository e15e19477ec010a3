-- All price books ever loaded, for the history by which rating and quotes choose.
SELECT content_hash, content, source, loaded_at, in_force_from
FROM price_book
ORDER BY loaded_at, content_hash
