-- The rollups of a window: as they are, or as a run left them. The other statements about rollups read this one.
-- :window_start: from this hour, :window_end: before this hour; :auth_id, :resource_id, :model_id: whose of what (NULL:
-- no such condition); :run: the run, or NULL for the rollups as they are. Planned with the values at hand, one of the
-- halves disappears.
SELECT id, {key}, window_end, {values}, run, rated_at
FROM rated_usage
WHERE :run::bigint IS NULL
    AND window_start >= :window_start AND window_start < :window_end
    AND (:auth_id::text IS NULL OR auth_id = :auth_id)
    AND (:resource_id::text IS NULL OR resource_id = :resource_id)
    AND (:model_id::text IS NULL OR model_id = :model_id)
UNION ALL
SELECT
    rollup AS id, {latest.key}, latest.window_start + interval '1 hour' AS window_end, {new_values}, run,
    started_at AS rated_at
FROM (
    SELECT DISTINCT ON ({key}) *
    FROM rated_usage_change
    WHERE :run IS NOT NULL AND run <= :run
        AND window_start >= :window_start AND window_start < :window_end
        AND (:auth_id IS NULL OR auth_id = :auth_id)
        AND (:resource_id IS NULL OR resource_id = :resource_id)
        AND (:model_id IS NULL OR model_id = :model_id)
    ORDER BY {key}, run DESC
) AS latest
JOIN rating_run ON rating_run.id = latest.run
WHERE kind <> 'DELETE'
