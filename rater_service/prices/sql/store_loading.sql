-- Keeps a loading, made in the role of this session.
INSERT INTO price_loading (content_hash, source, loaded_at, loaded_by, in_force_from)
VALUES (:content_hash, :source, :loaded_at, :loaded_by, :in_force_from)
RETURNING number, db_role
