-- As audit/hours.sql. All times of events are read, on all nodes at once: to ask for hour after hour takes longer.
-- :window_start, :window_end: the part, its end exclusive.
WITH event_hour AS MATERIALIZED (
    SELECT date_trunc('hour', event_time, 'UTC') AS window_start
    FROM stored_event
    WHERE event_time >= :window_start AND event_time < :window_end
    GROUP BY 1
), summed_hour AS MATERIALIZED (
    SELECT window_start
    FROM hourly_usage
    WHERE window_start >= :window_start AND window_start < :window_end
    GROUP BY window_start
)
SELECT DISTINCT ON (hour.window_start) hour.window_start, run.id AS run, run.started_at
FROM (
    SELECT window_start FROM event_hour
    UNION
    SELECT window_start FROM summed_hour
) AS hour
LEFT JOIN rating_run AS run
    ON NOT run.dry_run AND tstzrange(run.window_start, run.window_end) @> hour.window_start
ORDER BY hour.window_start, run.id DESC
