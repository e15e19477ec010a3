-- How far the producers are behind, in few numbers whatever their count, and what is kept aside and not settled.
-- :now: the time it is.
SELECT
    count(*) FILTER (WHERE retired) AS retired,
    count(*) FILTER (WHERE stopped AND NOT retired) AS stopped,
    count(*) FILTER (WHERE NOT stopped AND NOT retired) AS running,
    -- As gauges are: sums of what many producers claim may not fit a bigint.
    coalesce(sum(spooled_events) FILTER (WHERE NOT retired), 0)::float8 AS spooled_events,
    coalesce(sum(lost_rows), 0)::float8 AS lost_rows,
    -- One that never said how far it is counts from when it was first heard of.
    coalesce(extract(epoch FROM :now - min(coalesce(complete_until, first_seen)) FILTER (
        WHERE NOT stopped AND NOT retired)), 0)::float8 AS lag_seconds,
    coalesce((
        SELECT extract(epoch FROM clock_skew)
        FROM producer
        WHERE NOT stopped AND NOT retired AND clock_skew IS NOT NULL
        ORDER BY greatest(clock_skew, -clock_skew) DESC
        LIMIT 1), 0)::float8 AS skew_seconds,
    (SELECT count(*) FROM rejected_event WHERE resolved_at IS NULL) AS unsettled_events
FROM producer
