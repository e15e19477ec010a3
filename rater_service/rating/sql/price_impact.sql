-- What the window's customers used, as far as a price is all it needs.
-- {categories}: see categories.sql, which has the arguments.
SELECT
    auth_id, model_id, base_model,
    sum(event_count)::bigint AS events,
    sum(billable) AS billable_prompt,
    sum(cached) AS cached,
    sum(completion) AS completion
FROM (
{categories}
) AS usage
WHERE category = 'unpriced'
GROUP BY auth_id, model_id, base_model
