-- Of hours with events that no run has seen those in which some are of a customer, resource or model, and how many.
-- :window_start: the hours; :unseen: for each, how many events no run has seen: those that were stored last; :is_rated:
-- whether there was a run at all; :auth_id, :resource_id, :model_id: whose usage of what (NULL: no such condition).
WITH hour AS (
    SELECT *
    FROM unnest(:window_start::timestamptz[], :unseen::bigint[], :is_rated::boolean[]) AS hour (window_start, unseen, is_rated)
), unseen AS (
    -- Without a run it is all of them, and the sums tell without reading events.
    SELECT window_start, auth_id, resource_id, model_id, event_count
    FROM hour
    JOIN hourly_usage USING (window_start)
    WHERE NOT is_rated
    UNION ALL
    SELECT hour.window_start, auth_id, resource_id, model_id, 1 AS event_count
    FROM hour
    CROSS JOIN LATERAL (
        SELECT auth_id, resource_id, model_id
        FROM billing_event
        WHERE event_time >= hour.window_start AND event_time < hour.window_start + interval '1 hour'
        ORDER BY stored_at DESC, request_id DESC
        LIMIT hour.unseen
    ) AS event
    WHERE is_rated
)
SELECT window_start AS hour, sum(event_count)::bigint AS events
FROM unseen
WHERE (:auth_id::text IS NULL OR auth_id = :auth_id)
    AND (:resource_id::text IS NULL OR resource_id = :resource_id)
    AND (:model_id::text IS NULL OR model_id = :model_id)
GROUP BY window_start
ORDER BY window_start
