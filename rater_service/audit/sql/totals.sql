-- What a part of the window holds.
-- $1: its start, $2: its end, exclusive.
SELECT usage.*, event.*, rollup.*
FROM (
    SELECT coalesce(sum(event_count), 0)::bigint AS events
    FROM hourly_usage
    WHERE window_start >= $1 AND window_start < $2
) AS usage
CROSS JOIN (
    SELECT count(*) AS unnumbered_events
    FROM billing_event
    WHERE event_time >= $1 AND event_time < $2
        AND (producer_id IS NULL OR producer_seq IS NULL)
) AS event
CROSS JOIN (
    SELECT
        count(*) AS rollups,
        coalesce(sum(event_count), 0)::bigint AS billed_events,
        coalesce(sum(cost), 0) AS total_cost
    FROM rated_usage
    WHERE window_start >= $1 AND window_start < $2
) AS rollup
