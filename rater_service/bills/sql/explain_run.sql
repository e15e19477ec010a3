-- One run.
-- :id: its number.
SELECT id, mode, requested_by, started_at, finished_at, knowledge_at
FROM rating_run
WHERE id = :id
