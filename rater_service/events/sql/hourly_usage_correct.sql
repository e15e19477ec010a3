-- Adds what hourly_usage_change says to the sums of slot 0, to which those of all slots were moved, as they are now: batches
-- may have added to them since it was found.
UPDATE hourly_usage AS known
SET event_count = known.event_count + change.event_count,
    prompt_tokens = known.prompt_tokens + change.prompt_tokens,
    cached_tokens = known.cached_tokens + change.cached_tokens,
    completion_tokens = known.completion_tokens + change.completion_tokens,
    billable_prompt_tokens = known.billable_prompt_tokens + change.billable_prompt_tokens,
    excess_cached_events = known.excess_cached_events + change.excess_cached_events,
    excess_cached_tokens = known.excess_cached_tokens + change.excess_cached_tokens,
    -- Of sums from before it is NULL, and stays so.
    partial_usage_events = known.partial_usage_events + change.partial_usage_events,
    unbilled_events = known.unbilled_events + change.unbilled_events,
    unbilled_bytes = known.unbilled_bytes + change.unbilled_bytes,
    echoed_events = known.echoed_events + change.echoed_events,
    echoed_tokens = known.echoed_tokens + change.echoed_tokens,
    first_stored_at = least(known.first_stored_at, change.first_stored_at),
    last_stored_at = greatest(known.last_stored_at, change.last_stored_at)
FROM hourly_usage_change AS change
WHERE known.window_start = change.window_start
    AND known.auth_id IS NOT DISTINCT FROM change.auth_id
    AND known.resource_id IS NOT DISTINCT FROM change.resource_id
    AND known.model_id IS NOT DISTINCT FROM change.model_id
    AND known.base_model IS NOT DISTINCT FROM change.base_model
    AND known.usage_found = change.usage_found
    AND known.model_untrusted = change.model_untrusted
    AND known.completed = change.completed
    AND known.slot = 0
    /*by producer: AND known.producer_id = change.producer_id */
