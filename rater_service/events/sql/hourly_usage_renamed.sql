-- Finds what has to be added to the sums, or taken from them, because events that were summed as those of other models are
-- summed under their models' own names now.
-- :request_ids: the events; :other_models: the name that they were summed under.
INSERT INTO hourly_usage_change
    (window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
     event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
     excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
     first_stored_at, last_stored_at /*by producer:, producer_id */)
SELECT
    window_start, auth_id, resource_id, change.model_id, base_model, usage_found, model_untrusted, completed,
    sum(sign * event_count) AS event_count,
    sum(sign * prompt_tokens) AS prompt_tokens,
    sum(sign * cached_tokens) AS cached_tokens,
    sum(sign * completion_tokens) AS completion_tokens,
    sum(sign * billable_prompt_tokens) AS billable_prompt_tokens,
    sum(sign * excess_cached_events) AS excess_cached_events,
    sum(sign * excess_cached_tokens) AS excess_cached_tokens,
    sum(sign * partial_usage_events) AS partial_usage_events,
    sum(sign * unbilled_events) AS unbilled_events,
    sum(sign * unbilled_bytes) AS unbilled_bytes,
    sum(sign * echoed_events) AS echoed_events,
    sum(sign * echoed_tokens) AS echoed_tokens,
    min(first_stored_at) AS first_stored_at,
    max(last_stored_at) AS last_stored_at
    /*by producer:, producer_id */
FROM hourly_usage_of_ids(:request_ids) AS renamed
CROSS JOIN LATERAL (VALUES (renamed.model_id, 1), (:other_models::text, -1)) AS change (model_id, sign)
GROUP BY window_start, auth_id, resource_id, change.model_id, base_model, usage_found, model_untrusted, completed
    /*by producer:, producer_id */
