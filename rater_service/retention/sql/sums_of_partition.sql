-- What the events of a partition from before a time add up to, by the keys under which they are summed, to be compared
-- with what was written of them.
-- {partition}: its name, :before: the time.
SELECT
    date_trunc('hour', event.event_time, 'UTC') AS window_start,
    coalesce(event.auth_id, pattern.auth_id) AS auth_id,
    coalesce(event.resource_id, pattern.resource_id) AS resource_id,
    CASE WHEN event.summed_as_other THEN '(other models)' ELSE coalesce(event.model_id, pattern.model_id) END AS model_id,
    coalesce(event.base_model, pattern.base_model) AS base_model,
    event.usage_found, event.model_untrusted,
    coalesce(event.outcome, pattern.outcome) = 'completed' AS completed,
    count(*) AS event_count,
    sum(coalesce(prompt_tokens, 0)) AS prompt_tokens,
    sum(least(coalesce(cached_tokens, 0), coalesce(prompt_tokens, 0))) AS cached_tokens,
    sum(coalesce(completion_tokens, 0)) AS completion_tokens,
    sum(greatest(coalesce(prompt_tokens, 0) - coalesce(cached_tokens, 0), 0)) AS billable_prompt_tokens
FROM {partition} AS event
LEFT JOIN event_pattern AS pattern ON pattern.number = event.pattern
WHERE event.event_time < :before
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
