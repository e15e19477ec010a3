-- Which sums by the day are not those of the rollups of their day, and by how much the costs differ.
-- :first_day, :end_day: the days, as moments at which days of UTC begin, the end exclusive; :limit: how many at most.
SELECT
    'day' AS sum, day, auth_id, resource_id, model_id,
    known.rollups AS summed_rollups, known.cost AS summed_cost, made.rollups, made.cost,
    count(*) OVER () AS differences
FROM (
    SELECT
        day, auth_id, resource_id, model_id, rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens,
        completion_tokens, cost
    FROM rated_day
    WHERE day >= :first_day AND day < :end_day
) AS known
FULL JOIN (
    SELECT
        date_trunc('day', window_start, 'UTC') AS day, auth_id, resource_id, model_id,
        count(*) AS rollups, sum(event_count) AS events, sum(prompt_tokens) AS prompt_tokens,
        sum(cached_tokens) AS cached_tokens, sum(billable_prompt_tokens) AS billable_prompt_tokens,
        sum(completion_tokens) AS completion_tokens, sum(cost) AS cost
    FROM rated_usage
    WHERE window_start >= :first_day AND window_start < :end_day
    GROUP BY 1, 2, 3, 4
) AS made
    USING (day, auth_id, resource_id, model_id)
WHERE (known.rollups, known.events, known.prompt_tokens, known.cached_tokens, known.billable_prompt_tokens,
       known.completion_tokens, known.cost)
    IS DISTINCT FROM (made.rollups, made.events, made.prompt_tokens, made.cached_tokens, made.billable_prompt_tokens,
       made.completion_tokens, made.cost)
ORDER BY day, auth_id, resource_id, model_id
LIMIT :limit
