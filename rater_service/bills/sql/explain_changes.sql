-- Everything that runs did to the rollup of a key, oldest first, and which runs that were. A rollup that was deleted
-- and came back has another number than before.
-- $1: the hour, $2: auth_id, $3: resource_id, $4: model_id.
SELECT change.*, mode, requested_by, started_at, finished_at, knowledge_at
FROM rated_usage_change AS change
JOIN rating_run ON rating_run.id = change.run
WHERE change.window_start = $1 AND auth_id = $2 AND resource_id = $3 AND model_id = $4
ORDER BY change.run
