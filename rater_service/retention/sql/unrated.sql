-- The hours in which a partition has events from before a time that are not surely in a run: the last real run over the
-- hour began before the last of them was stored, or there was none.
-- {partition}: its name, :before: the time, :overlap: how long before a run's start an event must be stored to be
-- surely in it.
SELECT hour.window_start, hour.last_stored_at, run.id AS run, run.started_at
FROM (
    SELECT DISTINCT ON (stored.window_start)
        stored.window_start, stored.last_stored_at, rating_run.id AS run
    FROM (
        SELECT date_trunc('hour', event_time, 'UTC') AS window_start, max(stored_at) AS last_stored_at
        FROM {partition}
        WHERE event_time < :before
        GROUP BY 1
    ) AS stored
    LEFT JOIN rating_run
        ON NOT dry_run AND tstzrange(rating_run.window_start, rating_run.window_end) @> stored.window_start
    ORDER BY stored.window_start, rating_run.id DESC
) AS hour
LEFT JOIN rating_run AS run ON run.id = hour.run
WHERE run.started_at IS NULL OR run.started_at - :overlap::interval < hour.last_stored_at
ORDER BY hour.window_start
