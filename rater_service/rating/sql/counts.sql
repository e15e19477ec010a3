-- The numbers of a run. events_in_window is read from the hourly sums, apart from the buckets: that the categories
-- add up to it is checked when the run is kept.
-- :window_start, :window_end: the window, its end exclusive.
SELECT
    (
        SELECT coalesce(sum(event_count), 0)::bigint
        FROM hourly_usage
        WHERE window_start >= :window_start AND window_start < :window_end
    ) AS events_in_window,
    bucket.*,
    change.*,
    rollup.*
FROM (
    SELECT
        coalesce(sum(event_count) FILTER (WHERE category = 'rated'), 0)::bigint AS events_rated,
        coalesce(sum(event_count) FILTER (WHERE category IN ('unpriced', 'tokens_out_of_range')), 0)::bigint
            AS unpriced_events,
        coalesce(sum(event_count) FILTER (WHERE category IN ('unattributable', 'model_untrusted')), 0)::bigint
            AS unattributable_events,
        coalesce(sum(event_count) FILTER (WHERE category = 'ambiguous_base'), 0)::bigint AS ambiguous_base_events,
        coalesce(sum(event_count) FILTER (WHERE category = 'missing_usage'), 0)::bigint AS missing_usage_events,
        coalesce(sum(event_count) FILTER (WHERE category = 'zero_charge'), 0)::bigint AS zero_charge_events,
        coalesce(sum(unbilled_events), 0)::bigint AS unbilled_output_events,
        -- As many as the answer can hold.
        least(coalesce(sum(unbilled_bytes), 0), 9223372036854775807)::bigint AS unbilled_output_bytes,
        count(DISTINCT coalesce(auth_id, '')) FILTER (WHERE unbilled_events > 0) AS unbilled_output_auth_count
    FROM rating_bucket
) AS bucket
CROSS JOIN (
    SELECT
        count(*) FILTER (WHERE kind IN ('insert', 'update')) AS rollups_written,
        count(*) FILTER (WHERE kind = 'same') AS rollups_unchanged,
        count(*) FILTER (WHERE kind = 'delete') AS reconciled_deletions
    FROM rating_change
) AS change
CROSS JOIN (
    SELECT
        coalesce(sum(new_cost), 0) AS total_cost,
        coalesce(array_agg(DISTINCT new_price_book ORDER BY new_price_book), '{}') AS price_books
    FROM rating_change
    WHERE kind <> 'delete'
) AS rollup
