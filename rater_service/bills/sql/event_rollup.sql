-- The rollup of an event's key and hour, and the run that wrote it.
-- :window_start: the hour; :auth_id, :resource_id, :model_id: the rest of the key.
SELECT
    rated_usage.id, {values}, run, mode, requested_by, started_at, finished_at, knowledge_at
FROM rated_usage
JOIN rating_run ON rating_run.id = rated_usage.run
WHERE ({rated_usage.key}) = ({:key})
