-- Adds rollups up, over all that agree in the columns named, and once over all.
-- {rollups}: see rollups.sql, which has the other arguments. :by: what to group by, of month, day, hour, customer,
-- resource and model.
WITH rollup AS (
{rollups}
)
SELECT
    month, day, hour, customer, resource, model,
    count(rollup_id) AS rollups,
    coalesce(sum(event_count), 0) AS events,
    coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
    coalesce(sum(cached_tokens), 0) AS cached_tokens,
    coalesce(sum(billable_prompt_tokens), 0) AS billable_prompt_tokens,
    coalesce(sum(completion_tokens), 0) AS completion_tokens,
    coalesce(sum(cost), 0) AS cost,
    grouping(month, day, hour, customer, resource, model) <> 0 AS is_total
FROM (
    SELECT
        -- Months and days of UTC, whatever the session's time zone is.
        CASE WHEN 'month' = ANY (:by::text[]) THEN date_trunc('month', window_start, 'UTC') END AS month,
        CASE WHEN 'day' = ANY (:by) THEN date_trunc('day', window_start, 'UTC') END AS day,
        CASE WHEN 'hour' = ANY (:by) THEN window_start END AS hour,
        CASE WHEN 'customer' = ANY (:by) THEN auth_id END AS customer,
        CASE WHEN 'resource' = ANY (:by) THEN resource_id END AS resource,
        CASE WHEN 'model' = ANY (:by) THEN model_id END AS model,
        id AS rollup_id, event_count, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost
    FROM rollup
) AS named
GROUP BY GROUPING SETS ((month, day, hour, customer, resource, model), ())
