-- Leaves rollups that were rated before at the rates they were rated at.
-- $1: start of the window, $2: its end, exclusive.
--
-- A bucket for which no price is found any more stays rated, too, if the rollup stands for it: events of a
-- fine-tune that stated another base model, or none, were not part of it.
UPDATE rating_bucket AS bucket
SET category = 'rated',
    prompt_rate = rated.applied_prompt_rate,
    cached_rate = rated.applied_cached_rate,
    completion_rate = rated.applied_completion_rate,
    price_book = rated.price_book
FROM rated_usage AS rated
WHERE rated.window_start >= $1 AND rated.window_start < $2
    AND bucket.window_start = rated.window_start
    AND bucket.auth_id = rated.auth_id
    AND bucket.resource_id = rated.resource_id
    AND bucket.model_id = rated.model_id
    AND (bucket.category = 'rated'
        OR bucket.category = 'unpriced'
            AND (bucket.model_id NOT LIKE 'ft:%' OR bucket.base_model IS NOT DISTINCT FROM rated.base_model))
