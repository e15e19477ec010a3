-- The hours of a part of the window that have events, or sums of events that were pruned, each with the last run over
-- it, if there was one.
-- :window_start, :window_end: the part, its end exclusive.
SELECT DISTINCT ON (hour.window_start) hour.window_start, run.id AS run, run.started_at
FROM generate_series(
    :window_start::timestamptz, :window_end::timestamptz - interval '1 hour', interval '1 hour') AS hour (window_start)
LEFT JOIN rating_run AS run
    ON NOT run.dry_run AND tstzrange(run.window_start, run.window_end) @> hour.window_start
WHERE EXISTS (
    SELECT
    FROM stored_event
    WHERE event_time >= hour.window_start AND event_time < hour.window_start + interval '1 hour')
    OR EXISTS (SELECT FROM hourly_usage WHERE hourly_usage.window_start = hour.window_start)
ORDER BY hour.window_start, run.id DESC
