-- Adds the rollups that are new, and notes the ids they got.
-- $1: the run, $2: when it started.
WITH inserted AS (
    INSERT INTO rated_usage
        (auth_id, resource_id, model_id, window_start, window_end,
         prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, cost,
         applied_prompt_rate, applied_cached_rate, applied_completion_rate, event_count, base_model, price_book,
         run, rated_at)
    SELECT
        auth_id, resource_id, model_id, window_start, window_start + interval '1 hour',
        new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens, new_cost,
        new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate, new_event_count,
        new_base_model, new_price_book,
        $1, $2
    FROM rating_change
    WHERE kind = 'insert'
    ORDER BY window_start, auth_id, resource_id, model_id
    RETURNING id, window_start, auth_id, resource_id, model_id
)
UPDATE rating_change AS change
SET rollup = inserted.id
FROM inserted
WHERE change.window_start = inserted.window_start
    AND change.auth_id = inserted.auth_id
    AND change.resource_id = inserted.resource_id
    AND change.model_id = inserted.model_id
