-- Keeps a price book that was not loaded before. When it is in force is told by its loadings; loaded_at and in_force_from
-- are those of the first one, for version 0.1.0, which reads them here.
INSERT INTO price_book (content_hash, content, source, loaded_at, effective_from, in_force_from)
VALUES (:content_hash, :content, :source, :loaded_at, :effective_from, :in_force_from)
