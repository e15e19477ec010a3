-- Makes the sums of an hour agree with its events, while batches go on adding to both. Returns what differed.
-- :window_start, :window_end: the hour, its end exclusive; :first: how many rows to return; {differences}: see
-- hourly_usage_differences.sql, :limit: NULL.
--
-- A batch adds events and their sums in one transaction: a snapshot has both of it, or neither. So what differs in this
-- statement's snapshot is what is wrong, whatever comes meanwhile. It is added to the sums as they are when their rows are
-- written (READ COMMITTED); batches wait for no more than that.
WITH difference AS MATERIALIZED (
{differences}
), corrected AS (
    UPDATE hourly_usage AS known
    SET event_count = known.event_count + metered_events - summed_events,
        prompt_tokens = known.prompt_tokens + metered_prompt_tokens - summed_prompt_tokens,
        cached_tokens = known.cached_tokens + metered_cached_tokens - summed_cached_tokens,
        completion_tokens = known.completion_tokens + metered_completion_tokens - summed_completion_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens + metered_billable_prompt_tokens - summed_billable_prompt_tokens,
        excess_cached_events = known.excess_cached_events + metered_excess_cached_events - summed_excess_cached_events,
        excess_cached_tokens = known.excess_cached_tokens + metered_excess_cached_tokens - summed_excess_cached_tokens,
        -- Sums from before do not have it.
        partial_usage_events = known.partial_usage_events + metered_partial_usage_events - summed_partial_usage_events,
        unbilled_events = known.unbilled_events + metered_unbilled_events - summed_unbilled_events,
        unbilled_bytes = known.unbilled_bytes + metered_unbilled_bytes - summed_unbilled_bytes,
        echoed_events = known.echoed_events + metered_echoed_events - summed_echoed_events,
        echoed_tokens = known.echoed_tokens + metered_echoed_tokens - summed_echoed_tokens,
        first_stored_at = least(known.first_stored_at, metered_first_stored_at),
        last_stored_at = greatest(known.last_stored_at, metered_last_stored_at)
    FROM difference
    WHERE known.window_start = difference.window_start
        AND known.auth_id IS NOT DISTINCT FROM difference.auth_id
        AND known.resource_id IS NOT DISTINCT FROM difference.resource_id
        AND known.model_id IS NOT DISTINCT FROM difference.model_id
        AND known.base_model IS NOT DISTINCT FROM difference.base_model
        AND known.usage_found = difference.usage_found
        AND known.model_untrusted = difference.model_untrusted
        AND known.completed = difference.completed
), added AS (
    -- Of these there was no sum; a batch may have made one since.
    INSERT INTO hourly_usage AS known
        (window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
         event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
         excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
         first_stored_at, last_stored_at)
    SELECT
        window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
        metered_events AS event_count, metered_prompt_tokens AS prompt_tokens, metered_cached_tokens AS cached_tokens,
        metered_completion_tokens AS completion_tokens, metered_billable_prompt_tokens AS billable_prompt_tokens,
        metered_excess_cached_events AS excess_cached_events, metered_excess_cached_tokens AS excess_cached_tokens,
        metered_partial_usage_events AS partial_usage_events, metered_unbilled_events AS unbilled_events,
        metered_unbilled_bytes AS unbilled_bytes, metered_echoed_events AS echoed_events,
        metered_echoed_tokens AS echoed_tokens, metered_first_stored_at AS first_stored_at,
        metered_last_stored_at AS last_stored_at
    FROM difference
    WHERE NOT has_sum
    ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
    ON CONFLICT ON CONSTRAINT hourly_usage_key DO UPDATE
    SET event_count = known.event_count + EXCLUDED.event_count,
        prompt_tokens = known.prompt_tokens + EXCLUDED.prompt_tokens,
        cached_tokens = known.cached_tokens + EXCLUDED.cached_tokens,
        completion_tokens = known.completion_tokens + EXCLUDED.completion_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens + EXCLUDED.billable_prompt_tokens,
        excess_cached_events = known.excess_cached_events + EXCLUDED.excess_cached_events,
        excess_cached_tokens = known.excess_cached_tokens + EXCLUDED.excess_cached_tokens,
        partial_usage_events = known.partial_usage_events + EXCLUDED.partial_usage_events,
        unbilled_events = known.unbilled_events + EXCLUDED.unbilled_events,
        unbilled_bytes = known.unbilled_bytes + EXCLUDED.unbilled_bytes,
        echoed_events = known.echoed_events + EXCLUDED.echoed_events,
        echoed_tokens = known.echoed_tokens + EXCLUDED.echoed_tokens,
        first_stored_at = least(known.first_stored_at, EXCLUDED.first_stored_at),
        last_stored_at = greatest(known.last_stored_at, EXCLUDED.last_stored_at)
)
SELECT *
FROM difference
ORDER BY window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed
LIMIT :first
