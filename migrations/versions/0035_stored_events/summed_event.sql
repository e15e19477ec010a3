(
    SELECT
        event.event_time, event.prompt_tokens, event.cached_tokens, event.completion_tokens, event.usage_found,
        event.usage_partial, event.model_untrusted, event.model_echoed, event.summed_as_other, event.status_code,
        event.answer_bytes, event.stored_at,
        coalesce(event.auth_id, pattern.auth_id) AS auth_id,
        coalesce(event.resource_id, pattern.resource_id) AS resource_id,
        coalesce(event.model_id, pattern.model_id) AS model_id,
        coalesce(event.base_model, pattern.base_model) AS base_model,
        coalesce(event.outcome, pattern.outcome) AS outcome
    FROM {events} AS event
    LEFT JOIN event_pattern AS pattern ON pattern.number = event.pattern
) AS event