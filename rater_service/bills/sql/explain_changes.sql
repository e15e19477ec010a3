-- Everything that runs did to the rollup of a key, oldest first, and which runs that were. A rollup that was deleted
-- and came back has another number than before.
-- :window_start: the hour; :auth_id, :resource_id, :model_id: the rest of the key.
SELECT
    change.run, kind, rollup, {old_values}, old_run, {new_values},
    mode, requested_by, started_at, finished_at, knowledge_at
FROM rated_usage_change AS change
JOIN rating_run ON rating_run.id = change.run
WHERE ({change.key}) = ({:key})
ORDER BY change.run
