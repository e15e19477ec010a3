-- Adds rollups up, over all that agree in the columns named, and once over all.
-- rollup: see rollups.sql, with $1 to $6. $7: what to group by, of day, hour, customer, resource and model.
SELECT
    day, hour, customer, resource, model,
    count(rollup_id) AS rollups,
    coalesce(sum(event_count), 0) AS events,
    coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
    coalesce(sum(cached_tokens), 0) AS cached_tokens,
    coalesce(sum(billable_prompt_tokens), 0) AS billable_prompt_tokens,
    coalesce(sum(completion_tokens), 0) AS completion_tokens,
    coalesce(sum(cost), 0) AS cost,
    grouping(day, hour, customer, resource, model) <> 0 AS is_total
FROM (
    SELECT
        -- Days of UTC, whatever the session's time zone is.
        CASE WHEN 'day' = ANY ($7::text[]) THEN date_trunc('day', window_start, 'UTC') END AS day,
        CASE WHEN 'hour' = ANY ($7) THEN window_start END AS hour,
        CASE WHEN 'customer' = ANY ($7) THEN auth_id END AS customer,
        CASE WHEN 'resource' = ANY ($7) THEN resource_id END AS resource,
        CASE WHEN 'model' = ANY ($7) THEN model_id END AS model,
        id AS rollup_id, event_count, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost
    FROM rollup
) AS named
GROUP BY GROUPING SETS ((day, hour, customer, resource, model), ())
