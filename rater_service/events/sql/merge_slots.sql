-- Moves sums of an hour to slot 0, which is held. What the sums of a key add up to stays as it is. Returns how many rows were
-- moved. {taken}: takes them away from where they stand, slots_taken.sql, hour_taken.sql or cold_taken.sql.
WITH moved AS (
{taken}
), added AS (
    INSERT INTO hourly_usage AS known
        (window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
         event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
         excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
         first_stored_at, last_stored_at, slot)
    SELECT
        window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
        sum(event_count) AS event_count,
        sum(prompt_tokens) AS prompt_tokens,
        sum(cached_tokens) AS cached_tokens,
        sum(completion_tokens) AS completion_tokens,
        sum(billable_prompt_tokens) AS billable_prompt_tokens,
        sum(excess_cached_events) AS excess_cached_events,
        sum(excess_cached_tokens) AS excess_cached_tokens,
        -- Sums from before do not have it, and nobody knows it of them and others together.
        CASE WHEN bool_and(partial_usage_events IS NOT NULL) THEN sum(partial_usage_events) END AS partial_usage_events,
        sum(unbilled_events) AS unbilled_events,
        sum(unbilled_bytes) AS unbilled_bytes,
        sum(echoed_events) AS echoed_events,
        sum(echoed_tokens) AS echoed_tokens,
        min(first_stored_at) AS first_stored_at,
        max(last_stored_at) AS last_stored_at,
        0 AS slot
    FROM moved
    GROUP BY window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed
    ORDER BY window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed
    ON CONFLICT ON CONSTRAINT hourly_usage_key DO UPDATE
    SET event_count = known.event_count + EXCLUDED.event_count,
        prompt_tokens = known.prompt_tokens + EXCLUDED.prompt_tokens,
        cached_tokens = known.cached_tokens + EXCLUDED.cached_tokens,
        completion_tokens = known.completion_tokens + EXCLUDED.completion_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens + EXCLUDED.billable_prompt_tokens,
        excess_cached_events = known.excess_cached_events + EXCLUDED.excess_cached_events,
        excess_cached_tokens = known.excess_cached_tokens + EXCLUDED.excess_cached_tokens,
        first_stored_at = least(known.first_stored_at, EXCLUDED.first_stored_at),
        last_stored_at = greatest(known.last_stored_at, EXCLUDED.last_stored_at),
        partial_usage_events = known.partial_usage_events + EXCLUDED.partial_usage_events,
        unbilled_events = known.unbilled_events + EXCLUDED.unbilled_events,
        unbilled_bytes = known.unbilled_bytes + EXCLUDED.unbilled_bytes,
        echoed_events = known.echoed_events + EXCLUDED.echoed_events,
        echoed_tokens = known.echoed_tokens + EXCLUDED.echoed_tokens
)
SELECT count(*) AS moved
FROM moved
