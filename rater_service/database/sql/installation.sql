-- Which installation this database is.
SELECT id, since, set_by
FROM installation
