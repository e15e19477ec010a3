-- Compares what runs said with what is there now: runs whose first hour is in the window, so that audits of windows that
-- follow each other read each run's hours once; and that have no later run over any of their hours, so that nothing may
-- have changed since but that events came.
-- :window_start, :window_end: the window, its end exclusive.
SELECT
    run.id, run.window_start, run.window_end,
    run.events_in_window, event.events,
    run.events_rated, rollup.events_rated AS events_billed,
    run.total_cost, rollup.total_cost AS cost_billed,
    run.rollups_written + run.rollups_unchanged AS rollups_said, rollup.rollups,
    run.events_rated + run.unpriced_events + run.unattributable_events + run.ambiguous_base_events
        + run.missing_usage_events + run.zero_charge_events AS events_counted
FROM rating_run AS run
CROSS JOIN LATERAL (
    SELECT coalesce(sum(event_count), 0)::bigint AS events
    FROM hourly_usage
    WHERE hourly_usage.window_start >= run.window_start AND hourly_usage.window_start < run.window_end
) AS event
CROSS JOIN LATERAL (
    SELECT
        count(*) AS rollups,
        coalesce(sum(event_count), 0)::bigint AS events_rated,
        coalesce(sum(cost), 0) AS total_cost
    FROM rated_usage
    WHERE rated_usage.window_start >= run.window_start AND rated_usage.window_start < run.window_end
) AS rollup
WHERE NOT run.dry_run
    AND tstzrange(run.window_start, run.window_end) && tstzrange(:window_start, :window_end)
    AND run.window_start >= :window_start
    AND NOT EXISTS (
        SELECT
        FROM rating_run AS later
        WHERE later.id > run.id
            AND NOT later.dry_run
            AND tstzrange(later.window_start, later.window_end) && tstzrange(run.window_start, run.window_end))
ORDER BY run.id
