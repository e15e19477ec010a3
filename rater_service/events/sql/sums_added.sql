-- Adds the sums in `sent`, see sums_sent.sql, to those of the same keys in the slot in `held`; for hourly_usage_add.sql and its
-- form for distributed databases, where they are those of one producer.
-- :stored_at: when the events were stored.
--
-- A key's row is rewritten by every batch that has the slot and adds to it. In the order of the key: where raters that know
-- of no slots run as well, they and this wait for each other but never deadlock.
INSERT INTO hourly_usage AS known
    (window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
     event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
     excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
     first_stored_at, last_stored_at, slot /*by producer:, producer_id */)
SELECT
    window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
    event_count, prompt_tokens, cached_tokens, completion_tokens,
    prompt_tokens - cached_tokens AS billable_prompt_tokens,
    excess_cached_events, excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes,
    echoed_events, echoed_tokens,
    :stored_at::timestamptz AS first_stored_at, :stored_at AS last_stored_at, (SELECT slot FROM held) AS slot
    /*by producer:, producer_id */
FROM sent
/*by producer: CROSS JOIN (
    SELECT DISTINCT producer_id
    FROM stored_event
    WHERE producer_id = :producer_id AND request_id = :request_id) AS own */
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
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
