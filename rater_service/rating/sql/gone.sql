-- Finds the rollups that the ledger has although they were deleted behind its back, and that nothing accounts for any
-- more: there is no row to delete, but the ledger must not keep them. Found after the other changes.
INSERT INTO rating_change
    (kind, tampering, tampered_cost, rollup, auth_id, resource_id, model_id, window_start,
     old_prompt_tokens, old_cached_tokens, old_completion_tokens, old_billable_prompt_tokens,
     old_cost, old_applied_prompt_rate, old_applied_cached_rate, old_applied_completion_rate,
     old_event_count, old_base_model, old_price_book, old_run)
SELECT
    'delete', 'it was deleted', cost, rollup, auth_id, resource_id, model_id, window_start,
    prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens,
    cost, applied_prompt_rate, applied_cached_rate, applied_completion_rate,
    event_count, base_model, price_book, run
FROM rating_recorded AS recorded
WHERE NOT EXISTS (
    SELECT
    FROM rating_change AS change
    WHERE change.window_start = recorded.window_start
        AND change.auth_id = recorded.auth_id
        AND change.resource_id = recorded.resource_id
        AND change.model_id = recorded.model_id)
