-- Makes the sums of a day from its rollups.
-- :day: its beginning.
INSERT INTO rated_day (
    day, auth_id, resource_id, model_id, rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens,
    completion_tokens, cost)
SELECT
    :day::timestamptz AS day, auth_id, resource_id, model_id,
    count(*) AS rollups,
    sum(event_count) AS events,
    sum(prompt_tokens) AS prompt_tokens,
    sum(cached_tokens) AS cached_tokens,
    sum(billable_prompt_tokens) AS billable_prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cost) AS cost
FROM rated_usage
WHERE window_start >= :day AND window_start < :day + interval '24 hours'
GROUP BY auth_id, resource_id, model_id
