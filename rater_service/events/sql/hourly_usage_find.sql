-- Finds what has to be added to the sums of an hour so that they agree with the events. Returns what differed.
-- :window_start, :window_end: the hour, its end exclusive; :first: how many rows to return; {differences}: see
-- hourly_usage_differences.sql, :limit: NULL; :archived, :archived_ranges: none, as hours with pruned events are left out.
--
-- A batch adds events and their sums in one transaction: a snapshot has both of it, or neither. So what differs in this
-- statement's snapshot is what is wrong, whatever comes meanwhile.
WITH difference AS MATERIALIZED (
{differences}
), found AS (
    INSERT INTO hourly_usage_change
        (window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
         event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
         excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
         first_stored_at, last_stored_at /*by producer:, producer_id */)
    SELECT
        window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
        metered_events - summed_events AS event_count,
        metered_prompt_tokens - summed_prompt_tokens AS prompt_tokens,
        metered_cached_tokens - summed_cached_tokens AS cached_tokens,
        metered_completion_tokens - summed_completion_tokens AS completion_tokens,
        metered_billable_prompt_tokens - summed_billable_prompt_tokens AS billable_prompt_tokens,
        metered_excess_cached_events - summed_excess_cached_events AS excess_cached_events,
        metered_excess_cached_tokens - summed_excess_cached_tokens AS excess_cached_tokens,
        -- Sums from before do not have it; they are said to hold what the events make.
        metered_partial_usage_events - CASE WHEN has_sum THEN summed_partial_usage_events ELSE 0 END
            AS partial_usage_events,
        metered_unbilled_events - summed_unbilled_events AS unbilled_events,
        metered_unbilled_bytes - summed_unbilled_bytes AS unbilled_bytes,
        metered_echoed_events - summed_echoed_events AS echoed_events,
        metered_echoed_tokens - summed_echoed_tokens AS echoed_tokens,
        -- Sums without events keep their times until they are taken away.
        coalesce(metered_first_stored_at, 'infinity') AS first_stored_at,
        coalesce(metered_last_stored_at, '-infinity') AS last_stored_at
        /*by producer:, producer_id */
    FROM difference
)
SELECT *
FROM difference
ORDER BY window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed
LIMIT :first
