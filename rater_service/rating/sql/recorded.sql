-- Reads which rollups the window has by the ledger: of each key the last change, unless that deleted it.
-- $1: start of the window, $2: its end, exclusive.
INSERT INTO rating_recorded
    (rollup, run, auth_id, resource_id, model_id, window_start,
     prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, cost,
     applied_prompt_rate, applied_cached_rate, applied_completion_rate, event_count, base_model, price_book)
SELECT
    rollup, run, auth_id, resource_id, model_id, window_start,
    new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens, new_cost,
    new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate, new_event_count,
    new_base_model, new_price_book
FROM (
    SELECT DISTINCT ON (window_start, auth_id, resource_id, model_id) *
    FROM rated_usage_change
    WHERE window_start >= $1 AND window_start < $2
    ORDER BY window_start, auth_id, resource_id, model_id, run DESC
) AS latest
WHERE kind <> 'DELETE'
