-- Keeps a price book that was not loaded before.
INSERT INTO price_book (content_hash, content, source, loaded_at, effective_from, in_force_from)
VALUES (:content_hash, :content, :source, :loaded_at, :effective_from, :in_force_from)
