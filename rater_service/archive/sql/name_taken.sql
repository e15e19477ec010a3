-- Whether a file of an archive has a name.
-- :archive, :name: which.
SELECT EXISTS (SELECT FROM archived_file WHERE archive = :archive AND name = :name) AS taken
