-- What the window's customers used, as far as a price is all it needs, after rating_buckets.
SELECT
    auth_id, model_id, base_model,
    sum(event_count)::bigint AS events,
    sum(billable) AS billable_prompt,
    sum(cached) AS cached,
    sum(completion) AS completion
FROM rating_bucket
WHERE category = 'unpriced'
GROUP BY auth_id, model_id, base_model
