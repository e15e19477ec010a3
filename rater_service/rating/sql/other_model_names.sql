-- How many models' usage in a window is summed as that of other models, by customer and deployment, as the first events
-- tell; and one of the names.
-- :window_start, :window_end: the window, its end exclusive; :limit: how many events are read.
SELECT
    auth_id, resource_id,
    count(DISTINCT model_id) AS names,
    min(model_id COLLATE "C") AS example,
    (sum(count(*)) OVER ())::bigint = :limit AS is_part
FROM (
    SELECT auth_id, resource_id, model_id
    FROM stored_event
    WHERE summed_as_other AND event_time >= :window_start AND event_time < :window_end
    LIMIT :limit
) AS event
GROUP BY auth_id, resource_id
