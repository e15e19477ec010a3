-- Replaces the rollups that changed, which keep their ids; the others are not touched.
-- $1: the run, $2: when it started.
UPDATE rated_usage AS rated
SET prompt_tokens = rollup.prompt_tokens,
    cached_tokens = rollup.cached_tokens,
    completion_tokens = rollup.completion_tokens,
    billable_prompt_tokens = rollup.billable_prompt_tokens,
    cost = rollup.cost,
    applied_prompt_rate = rollup.applied_prompt_rate,
    applied_cached_rate = rollup.applied_cached_rate,
    applied_completion_rate = rollup.applied_completion_rate,
    event_count = rollup.event_count,
    base_model = rollup.base_model,
    price_book = rollup.price_book,
    run = $1,
    rated_at = $2
FROM rating_change AS change
JOIN rating_rollup AS rollup USING (window_start, auth_id, resource_id, model_id)
WHERE change.kind = 'update'
    AND rated.window_start = change.window_start
    AND rated.auth_id = change.auth_id
    AND rated.resource_id = change.resource_id
    AND rated.model_id = change.model_id
