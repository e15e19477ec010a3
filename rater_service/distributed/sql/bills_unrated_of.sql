-- As bills/unrated_of.sql: of each hour and producer the last events are read, no more than no run has seen of the hour.
-- :window_start: the hours; :unseen: for each, how many events no run has seen: those that were stored last; :is_rated:
-- whether there was a run at all; :auth_id, :resource_id, :model_id: whose usage of what (NULL: no such condition).
WITH hour AS MATERIALIZED (
    SELECT *
    FROM unnest(:window_start::timestamptz[], :unseen::bigint[], :is_rated::boolean[]) AS hour (window_start, unseen, is_rated)
), summed AS MATERIALIZED (
    SELECT hour.window_start, auth_id, resource_id, model_id, event_count
    FROM hourly_usage
    JOIN hour ON hour.window_start = hourly_usage.window_start
    WHERE NOT is_rated
), newest AS MATERIALIZED (
    SELECT *
    FROM (
        SELECT
            hour.window_start, hour.unseen, auth_id, resource_id, model_id, stored_at, request_id,
            row_number() OVER (PARTITION BY producer_id, hour.window_start ORDER BY stored_at DESC, request_id DESC) AS place
        FROM billing_event
        JOIN hour ON event_time >= hour.window_start AND event_time < hour.window_start + interval '1 hour'
        WHERE is_rated
    ) AS event
    WHERE place <= unseen
), unseen AS MATERIALIZED (
    SELECT window_start, auth_id, resource_id, model_id, event_count FROM summed
    UNION ALL
    SELECT window_start, auth_id, resource_id, model_id, 1 AS event_count
    FROM (
        SELECT *, row_number() OVER (PARTITION BY window_start ORDER BY stored_at DESC, request_id DESC) AS place_of_all
        FROM newest
    ) AS event
    WHERE place_of_all <= unseen
)
SELECT window_start AS hour, sum(event_count)::bigint AS events
FROM unseen
WHERE (:auth_id::text IS NULL OR auth_id = :auth_id)
    AND (:resource_id::text IS NULL OR resource_id = :resource_id)
    AND (:model_id::text IS NULL OR model_id = :model_id)
GROUP BY window_start
ORDER BY window_start
