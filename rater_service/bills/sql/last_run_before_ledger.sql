-- The last run from before changes of rollups were kept. Of what earlier runs left only that is known which no
-- later one replaced.
SELECT id, finished_at
FROM rating_run
WHERE knowledge_at IS NULL AND NOT dry_run
ORDER BY id DESC
LIMIT 1
