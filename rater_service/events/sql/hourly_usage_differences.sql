-- Compares hourly sums with the events: one row for each of the first keys that differ, with how many there are.
-- :window_start, :window_end: the window, its end exclusive; :limit: how many rows (NULL: all). :archived: what its
-- archived events add up to, as JSON of rows of hourly_usage; :archived_ranges: which of the pruned events that are.
-- Hours of which other events were pruned are left out: the sums are all that is known of them.
--
-- What stands in /*of each producer: …*/ is for hourly_usage_find.sql in a distributed database.
-- summed_…: what the sums of all slots say, metered_…: what the events make; 0 where there is no sum (has_sum), or no event.
WITH counted AS (
    SELECT true AS is_sum, sums.*
    FROM hourly_usage AS sums
    WHERE window_start >= :window_start AND window_start < :window_end
    UNION ALL
    SELECT false AS is_sum, events.*
    FROM hourly_usage_of_events(:window_start, :window_end) AS events
    UNION ALL
    SELECT false AS is_sum, archived.*
    FROM jsonb_populate_recordset(NULL::hourly_usage, :archived::jsonb) AS archived
), compared AS (
    SELECT
        window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
        /*of each producer: producer_id, */
        coalesce(sum(event_count) FILTER (WHERE is_sum), 0)::bigint AS summed_events,
        coalesce(sum(prompt_tokens) FILTER (WHERE is_sum), 0) AS summed_prompt_tokens,
        coalesce(sum(cached_tokens) FILTER (WHERE is_sum), 0) AS summed_cached_tokens,
        coalesce(sum(completion_tokens) FILTER (WHERE is_sum), 0) AS summed_completion_tokens,
        coalesce(sum(billable_prompt_tokens) FILTER (WHERE is_sum), 0) AS summed_billable_prompt_tokens,
        coalesce(sum(excess_cached_events) FILTER (WHERE is_sum), 0)::bigint AS summed_excess_cached_events,
        coalesce(sum(excess_cached_tokens) FILTER (WHERE is_sum), 0) AS summed_excess_cached_tokens,
        -- Sums from before do not have it.
        CASE
            WHEN bool_and(partial_usage_events IS NOT NULL) FILTER (WHERE is_sum)
                THEN sum(partial_usage_events) FILTER (WHERE is_sum)::bigint
        END AS counted_partial_usage_events,
        coalesce(sum(unbilled_events) FILTER (WHERE is_sum), 0)::bigint AS summed_unbilled_events,
        coalesce(sum(unbilled_bytes) FILTER (WHERE is_sum), 0) AS summed_unbilled_bytes,
        coalesce(sum(echoed_events) FILTER (WHERE is_sum), 0)::bigint AS summed_echoed_events,
        coalesce(sum(echoed_tokens) FILTER (WHERE is_sum), 0) AS summed_echoed_tokens,
        coalesce(sum(event_count) FILTER (WHERE NOT is_sum), 0)::bigint AS metered_events,
        coalesce(sum(prompt_tokens) FILTER (WHERE NOT is_sum), 0) AS metered_prompt_tokens,
        coalesce(sum(cached_tokens) FILTER (WHERE NOT is_sum), 0) AS metered_cached_tokens,
        coalesce(sum(completion_tokens) FILTER (WHERE NOT is_sum), 0) AS metered_completion_tokens,
        coalesce(sum(billable_prompt_tokens) FILTER (WHERE NOT is_sum), 0) AS metered_billable_prompt_tokens,
        coalesce(sum(excess_cached_events) FILTER (WHERE NOT is_sum), 0)::bigint AS metered_excess_cached_events,
        coalesce(sum(excess_cached_tokens) FILTER (WHERE NOT is_sum), 0) AS metered_excess_cached_tokens,
        coalesce(sum(partial_usage_events) FILTER (WHERE NOT is_sum), 0)::bigint AS metered_partial_usage_events,
        coalesce(sum(unbilled_events) FILTER (WHERE NOT is_sum), 0)::bigint AS metered_unbilled_events,
        coalesce(sum(unbilled_bytes) FILTER (WHERE NOT is_sum), 0) AS metered_unbilled_bytes,
        coalesce(sum(echoed_events) FILTER (WHERE NOT is_sum), 0)::bigint AS metered_echoed_events,
        coalesce(sum(echoed_tokens) FILTER (WHERE NOT is_sum), 0) AS metered_echoed_tokens,
        min(first_stored_at) FILTER (WHERE NOT is_sum) AS metered_first_stored_at,
        max(last_stored_at) FILTER (WHERE NOT is_sum) AS metered_last_stored_at,
        bool_or(is_sum) AS has_sum
    FROM counted
    -- Unlike a join, this takes NULL for equal to NULL.
    GROUP BY window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed
        /*of each producer:, producer_id */
)
SELECT
    compared.*,
    coalesce(counted_partial_usage_events, metered_partial_usage_events) AS summed_partial_usage_events,
    count(*) OVER () AS differences
FROM compared
WHERE (summed_events, summed_prompt_tokens, summed_cached_tokens, summed_completion_tokens,
       summed_billable_prompt_tokens, summed_excess_cached_events, summed_excess_cached_tokens,
       summed_unbilled_events, summed_unbilled_bytes, summed_echoed_events, summed_echoed_tokens,
       coalesce(counted_partial_usage_events, metered_partial_usage_events))
    <> (metered_events, metered_prompt_tokens, metered_cached_tokens, metered_completion_tokens,
        metered_billable_prompt_tokens, metered_excess_cached_events, metered_excess_cached_tokens,
        metered_unbilled_events, metered_unbilled_bytes, metered_echoed_events, metered_echoed_tokens,
        metered_partial_usage_events)
    AND NOT EXISTS (
        SELECT
        FROM pruned_event_range AS pruned
        WHERE pruned.window_start <= compared.window_start AND pruned.window_end > compared.window_start
            AND pruned.id <> ALL (:archived_ranges::bigint[]))
ORDER BY window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed
LIMIT :limit
