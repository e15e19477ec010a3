-- As audit/runs.sql: the sums of all hours of the runs are read first.
-- :window_start, :window_end: the window, its end exclusive.
WITH last_run AS MATERIALIZED (
    SELECT *
    FROM rating_run AS run
    WHERE NOT run.dry_run
        AND tstzrange(run.window_start, run.window_end) && tstzrange(:window_start, :window_end)
        AND run.window_start >= :window_start
        AND NOT EXISTS (
            SELECT
            FROM rating_run AS later
            WHERE later.id > run.id
                AND NOT later.dry_run
                AND tstzrange(later.window_start, later.window_end) && tstzrange(run.window_start, run.window_end))
), summed AS MATERIALIZED (
    SELECT window_start, sum(event_count) AS event_count
    FROM hourly_usage
    WHERE window_start >= (SELECT min(window_start) FROM last_run)
        AND window_start < (SELECT max(window_end) FROM last_run)
    GROUP BY window_start
)
SELECT
    run.id, run.window_start, run.window_end,
    run.events_in_window, event.events,
    run.events_rated, rollup.events_rated AS events_billed,
    run.total_cost, rollup.total_cost AS cost_billed,
    run.rollups_written + run.rollups_unchanged AS rollups_said, rollup.rollups,
    run.events_rated + run.unpriced_events + run.unattributable_events + run.ambiguous_base_events
        + run.missing_usage_events + run.zero_charge_events AS events_counted
FROM last_run AS run
CROSS JOIN LATERAL (
    SELECT coalesce(sum(event_count), 0)::bigint AS events
    FROM summed
    WHERE summed.window_start >= run.window_start AND summed.window_start < run.window_end
) AS event
CROSS JOIN LATERAL (
    SELECT
        count(*) AS rollups,
        coalesce(sum(event_count), 0)::bigint AS events_rated,
        coalesce(sum(cost), 0) AS total_cost
    FROM rated_usage
    WHERE rated_usage.window_start >= run.window_start AND rated_usage.window_start < run.window_end
) AS rollup
ORDER BY run.id
