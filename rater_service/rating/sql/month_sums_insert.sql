-- Makes the sums by the month from those by the day.
-- :first_month, :end_month: those of these months, as moments at which months of UTC begin, the end exclusive.
INSERT INTO rated_month (
    month, auth_id, resource_id, model_id, rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost)
SELECT
    date_trunc('month', day, 'UTC') AS month, auth_id, resource_id, model_id,
    sum(rollups)::bigint AS rollups,
    sum(events) AS events,
    sum(prompt_tokens) AS prompt_tokens,
    sum(cached_tokens) AS cached_tokens,
    sum(billable_prompt_tokens) AS billable_prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cost) AS cost
FROM rated_day
WHERE day >= :first_month AND day < :end_month
GROUP BY date_trunc('month', day, 'UTC'), auth_id, resource_id, model_id
