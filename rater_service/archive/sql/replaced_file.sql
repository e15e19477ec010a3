-- Says that the new file has taken the place of one of the archive.
-- :id: which.
UPDATE archived_file
SET sha256 = next_sha256, size = next_size, next_sha256 = NULL, next_size = NULL
WHERE id = :id AND next_sha256 IS NOT NULL
