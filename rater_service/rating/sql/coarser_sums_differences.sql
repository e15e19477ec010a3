-- Which sums by the month, and by the day of a model, are not those of the sums by the day, and by how much the costs differ.
-- :first_month, :end_month: the months, as moments at which months of UTC begin, the end exclusive; :limit: how many at most.
WITH known AS (
    SELECT 'month' AS sum, month AS day, auth_id, resource_id, model_id,
        rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost
    FROM rated_month
    WHERE month >= :first_month AND month < :end_month
    UNION ALL
    SELECT 'model day' AS sum, day, '' AS auth_id, '' AS resource_id, model_id,
        rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost
    FROM rated_model_day
    WHERE day >= :first_month AND day < :end_month
), made AS (
    SELECT
        'month' AS sum, date_trunc('month', day, 'UTC') AS day, auth_id, resource_id, model_id,
        sum(rollups)::bigint AS rollups, sum(events) AS events, sum(prompt_tokens) AS prompt_tokens,
        sum(cached_tokens) AS cached_tokens, sum(billable_prompt_tokens) AS billable_prompt_tokens,
        sum(completion_tokens) AS completion_tokens, sum(cost) AS cost
    FROM rated_day
    WHERE day >= :first_month AND day < :end_month
    GROUP BY 2, 3, 4, 5
    UNION ALL
    SELECT
        'model day' AS sum, day, '' AS auth_id, '' AS resource_id, model_id,
        sum(rollups)::bigint AS rollups, sum(events) AS events, sum(prompt_tokens) AS prompt_tokens,
        sum(cached_tokens) AS cached_tokens, sum(billable_prompt_tokens) AS billable_prompt_tokens,
        sum(completion_tokens) AS completion_tokens, sum(cost) AS cost
    FROM rated_day
    WHERE day >= :first_month AND day < :end_month
    GROUP BY day, model_id
)
SELECT
    sum, day, nullif(auth_id, '') AS auth_id, nullif(resource_id, '') AS resource_id, model_id,
    known.rollups AS summed_rollups, known.cost AS summed_cost, made.rollups, made.cost,
    count(*) OVER () AS differences
FROM known
FULL JOIN made USING (sum, day, auth_id, resource_id, model_id)
WHERE (known.rollups, known.events, known.prompt_tokens, known.cached_tokens, known.billable_prompt_tokens,
       known.completion_tokens, known.cost)
    IS DISTINCT FROM (made.rollups, made.events, made.prompt_tokens, made.cached_tokens, made.billable_prompt_tokens,
       made.completion_tokens, made.cost)
ORDER BY sum, day, auth_id, resource_id, model_id
LIMIT :limit
