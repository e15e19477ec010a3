-- The hours of a window that have events or sums, and whether some of their events were pruned.
-- :window_start, :window_end: the window, its end exclusive (NULL: as far as there is anything).
WITH bounds AS (
    SELECT
        date_trunc('hour', least(
            (SELECT min(event_time) FROM stored_event), (SELECT min(window_start) FROM hourly_usage)), 'UTC') AS first,
        date_trunc('hour', greatest(
            (SELECT max(event_time) FROM stored_event), (SELECT max(window_start) FROM hourly_usage)), 'UTC') AS last
)
SELECT
    hour.window_start,
    EXISTS (
        SELECT
        FROM pruned_event_range AS pruned
        WHERE pruned.window_start <= hour.window_start AND pruned.window_end > hour.window_start) AS pruned
FROM bounds
CROSS JOIN LATERAL generate_series(
    greatest(first, :window_start), least(last, :window_end::timestamptz - interval '1 hour'), interval '1 hour'
) AS hour (window_start)
WHERE EXISTS (
        SELECT
        FROM stored_event
        WHERE event_time >= hour.window_start AND event_time < hour.window_start + interval '1 hour')
    OR EXISTS (SELECT FROM hourly_usage WHERE hourly_usage.window_start = hour.window_start)
ORDER BY hour.window_start
