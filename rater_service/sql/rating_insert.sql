-- Adds the rollups that are new.
-- $1: the run, $2: when it started.
INSERT INTO rated_usage
    (auth_id, resource_id, model_id, window_start, window_end,
     prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, cost,
     applied_prompt_rate, applied_cached_rate, applied_completion_rate, event_count, base_model, price_book,
     run, rated_at)
SELECT
    auth_id, resource_id, model_id, window_start, window_start + interval '1 hour',
    rollup.prompt_tokens, rollup.cached_tokens, rollup.completion_tokens, rollup.billable_prompt_tokens, rollup.cost,
    rollup.applied_prompt_rate, rollup.applied_cached_rate, rollup.applied_completion_rate, rollup.event_count,
    rollup.base_model, rollup.price_book,
    $1, $2
FROM rating_change AS change
JOIN rating_rollup AS rollup USING (window_start, auth_id, resource_id, model_id)
WHERE change.kind = 'insert'
ORDER BY window_start, auth_id, resource_id, model_id
