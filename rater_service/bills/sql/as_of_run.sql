-- The run that had the last word at a moment: what it left is what the bills said then.
-- :moment: the moment.
SELECT id, mode, requested_by, started_at, finished_at, knowledge_at
FROM rating_run
WHERE finished_at <= :moment AND NOT dry_run
ORDER BY id DESC
LIMIT 1
