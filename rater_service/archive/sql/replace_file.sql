-- Says which file takes the place of one of the archive, before it does.
-- :id: which; :sha256, :size: of the new file.
UPDATE archived_file
SET next_sha256 = :sha256, next_size = :size
WHERE id = :id
