-- As events/hourly_usage_hours.sql; for the rest see audit_hours.sql.
-- :window_start, :window_end: the window, its end exclusive (NULL: as far as there is anything).
WITH event_hour AS MATERIALIZED (
    SELECT date_trunc('hour', event_time, 'UTC') AS window_start
    FROM stored_event
    WHERE event_time >= coalesce(:window_start::timestamptz, '-infinity')
        AND event_time < coalesce(:window_end::timestamptz, 'infinity')
    GROUP BY 1
), summed_hour AS MATERIALIZED (
    SELECT window_start
    FROM hourly_usage
    WHERE window_start >= coalesce(:window_start, '-infinity') AND window_start < coalesce(:window_end, 'infinity')
    GROUP BY window_start
)
SELECT
    hour.window_start,
    EXISTS (
        SELECT
        FROM pruned_event_range AS pruned
        WHERE pruned.window_start <= hour.window_start AND pruned.window_end > hour.window_start) AS pruned
FROM (
    SELECT window_start FROM event_hour
    UNION
    SELECT window_start FROM summed_hour
) AS hour
ORDER BY hour.window_start
