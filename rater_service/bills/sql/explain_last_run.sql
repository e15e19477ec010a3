-- The last run that rated an hour: what it found right it left as an earlier run had written it.
-- :hour: the hour.
SELECT id, mode, requested_by, started_at, finished_at, knowledge_at
FROM rating_run
WHERE window_start <= :hour AND window_end > :hour AND NOT dry_run
ORDER BY id DESC
LIMIT 1
