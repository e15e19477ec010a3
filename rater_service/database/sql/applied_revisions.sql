-- The revisions that a migrated database has.
SELECT revision AS id, phase
FROM schema_revision
ORDER BY revision
