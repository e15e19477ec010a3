-- What a part of the window holds.
-- :window_start, :window_end: the part, its end exclusive.
SELECT usage.*, event.*, rollup.*
FROM (
    SELECT coalesce(sum(event_count), 0)::bigint AS events
    FROM hourly_usage
    WHERE window_start >= :window_start AND window_start < :window_end
) AS usage
CROSS JOIN (
    SELECT
        count(*) FILTER (WHERE producer_id IS NULL OR producer_seq IS NULL) AS unnumbered_events,
        count(*) FILTER (WHERE part_of IS NOT NULL) AS part_events
    FROM stored_event
    WHERE event_time >= :window_start AND event_time < :window_end
        AND (producer_id IS NULL OR producer_seq IS NULL OR part_of IS NOT NULL)
) AS event
CROSS JOIN (
    SELECT
        count(*) AS rollups,
        coalesce(sum(event_count), 0)::bigint AS billed_events,
        coalesce(sum(cost), 0) AS total_cost
    FROM rated_usage
    WHERE window_start >= :window_start AND window_start < :window_end
) AS rollup
