-- One price book, as it was loaded.
-- :content_hash: the SHA-256 of its content, in hexadecimal.
SELECT content, source
FROM price_book
WHERE content_hash = :content_hash
