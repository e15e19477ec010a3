SELECT
    -- Days of UTC, whatever the session's time zone is.
    date_trunc('day', window_start, 'UTC') AS day,
    auth_id, resource_id, model_id,
    count(*) AS rollups,
    sum(event_count) AS events,
    sum(prompt_tokens) AS prompt_tokens,
    sum(cached_tokens) AS cached_tokens,
    sum(billable_prompt_tokens) AS billable_prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cost) AS cost
FROM {rollups}
GROUP BY 1, 2, 3, 4
