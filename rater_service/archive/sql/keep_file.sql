-- Says that no other file takes the place of one of the archive.
-- :id: which.
UPDATE archived_file
SET next_sha256 = NULL, next_size = NULL
WHERE id = :id
