-- The last run that rated an hour: what it found right it left as an earlier run had written it.
-- $1: the hour.
SELECT id, mode, requested_by, started_at, finished_at, knowledge_at
FROM rating_run
WHERE window_start <= $1 AND window_end > $1 AND NOT dry_run
ORDER BY id DESC
LIMIT 1
