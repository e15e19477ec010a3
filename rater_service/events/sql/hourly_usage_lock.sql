-- Makes those sums in slot 0 that hourly_usage_change names and that are missing, of nothing so far, and locks the others: all in
-- the order of the key. Raters that know of no slot lock them so, and in another order one and this could wait for each other.
INSERT INTO hourly_usage AS known
    (window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
     event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
     excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
     first_stored_at, last_stored_at /*by producer:, producer_id */)
SELECT
    window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
    0 AS event_count, 0 AS prompt_tokens, 0 AS cached_tokens, 0 AS completion_tokens, 0 AS billable_prompt_tokens,
    0 AS excess_cached_events, 0 AS excess_cached_tokens, 0 AS partial_usage_events, 0 AS unbilled_events,
    0 AS unbilled_bytes, 0 AS echoed_events, 0 AS echoed_tokens, first_stored_at, last_stored_at
    /*by producer:, producer_id */
FROM hourly_usage_change
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
ON CONFLICT ON CONSTRAINT hourly_usage_key DO UPDATE
SET event_count = known.event_count
