-- The hours in which a partition has events from before a time that are not surely in a run: the last real run over the
-- hour began before the last of them was stored, or there was none.
-- {partition}: its name, :before: the time, :overlap: how long before a run's start an event must be stored to be
-- surely in it.
SELECT hour.window_start, hour.last_stored_at, run.id AS run, run.started_at
FROM (
    SELECT date_trunc('hour', event_time, 'UTC') AS window_start, max(stored_at) AS last_stored_at
    FROM {partition}
    WHERE event_time < :before
    GROUP BY 1
) AS hour
LEFT JOIN LATERAL (
    SELECT id, started_at
    FROM rating_run
    WHERE NOT dry_run
        AND rating_run.window_start <= hour.window_start
        AND rating_run.window_end > hour.window_start
    ORDER BY id DESC
    LIMIT 1
) AS run ON true
WHERE run.started_at IS NULL OR run.started_at - :overlap::interval < hour.last_stored_at
ORDER BY hour.window_start
