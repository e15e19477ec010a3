-- Says that files of an archive stand in another place now.
-- :ids: which; :archive: where.
UPDATE archived_file
SET archive = :archive
WHERE id = ANY (:ids::bigint[])
