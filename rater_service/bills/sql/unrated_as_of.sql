-- The hours of a window with usage that no run had rated at a moment.
-- :window_start, :window_end: the window, its end exclusive; :run: the last run that had finished by then (0: none);
-- :moment: the moment; :auth_id, :resource_id, :model_id: whose usage of what (NULL: no such condition).
SELECT hour.window_start AS hour, hour.events
FROM (
    SELECT window_start, sum(event_count)::bigint AS events
    FROM hourly_usage
    WHERE window_start >= :window_start AND window_start < :window_end
        AND first_stored_at <= :moment
        AND (:auth_id::text IS NULL OR auth_id = :auth_id)
        AND (:resource_id::text IS NULL OR resource_id = :resource_id)
        AND (:model_id::text IS NULL OR model_id = :model_id)
    GROUP BY window_start
) AS hour
WHERE NOT EXISTS (
    SELECT
    FROM rating_run
    WHERE NOT dry_run AND rating_run.id <= :run
        AND tstzrange(rating_run.window_start, rating_run.window_end) @> hour.window_start)
ORDER BY hour.window_start
