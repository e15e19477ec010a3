-- The hours of a part of the window that have events, or sums of events that were pruned, each with the last run over
-- it, if there was one.
-- :window_start, :window_end: the part, its end exclusive.
SELECT hour.window_start, run.id AS run, run.started_at
FROM generate_series(
    :window_start::timestamptz, :window_end::timestamptz - interval '1 hour', interval '1 hour') AS hour (window_start)
LEFT JOIN LATERAL (
    SELECT id, started_at
    FROM rating_run
    WHERE NOT dry_run
        AND rating_run.window_start <= hour.window_start
        AND rating_run.window_end > hour.window_start
    ORDER BY id DESC
    LIMIT 1
) AS run ON true
WHERE EXISTS (
    SELECT
    FROM billing_event
    WHERE event_time >= hour.window_start AND event_time < hour.window_start + interval '1 hour')
    OR EXISTS (SELECT FROM hourly_usage WHERE hourly_usage.window_start = hour.window_start)
ORDER BY hour.window_start
