-- Finds how rated_usage differs from the rollups it must have.
-- $1: start of the window, $2: its end, exclusive.
INSERT INTO rating_change
    (kind, auth_id, resource_id, model_id, base_model, window_start, event_count, tokens, cost)
SELECT
    CASE
        WHEN rollup.cost IS NULL THEN 'delete'
        WHEN rated.cost IS NULL THEN 'insert'
        WHEN (rollup.prompt_tokens, rollup.cached_tokens, rollup.completion_tokens, rollup.billable_prompt_tokens,
              rollup.cost, rollup.applied_prompt_rate, rollup.applied_cached_rate, rollup.applied_completion_rate,
              rollup.event_count, rollup.base_model, rollup.price_book)
            IS DISTINCT FROM
             (rated.prompt_tokens, rated.cached_tokens, rated.completion_tokens, rated.billable_prompt_tokens,
              rated.cost, rated.applied_prompt_rate, rated.applied_cached_rate, rated.applied_completion_rate,
              rated.event_count, rated.base_model, rated.price_book) THEN 'update'
        ELSE 'same'
    END,
    auth_id, resource_id, model_id,
    coalesce(rollup.base_model, rated.base_model),
    window_start,
    coalesce(rollup.event_count, rated.event_count),
    coalesce(rollup.prompt_tokens + rollup.completion_tokens, rated.prompt_tokens + rated.completion_tokens),
    coalesce(rollup.cost, rated.cost)
FROM rating_rollup AS rollup
FULL JOIN (SELECT * FROM rated_usage WHERE window_start >= $1 AND window_start < $2) AS rated
    USING (window_start, auth_id, resource_id, model_id)
