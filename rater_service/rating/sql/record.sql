-- Keeps for ever what the run did to which rollup.
-- $1: the run.
INSERT INTO rated_usage_change
    (run, kind, rollup, window_start, auth_id, resource_id, model_id,
     old_prompt_tokens, old_cached_tokens, old_completion_tokens, old_billable_prompt_tokens,
     old_cost, old_applied_prompt_rate, old_applied_cached_rate, old_applied_completion_rate,
     old_event_count, old_base_model, old_price_book, old_run,
     new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens,
     new_cost, new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate,
     new_event_count, new_base_model, new_price_book)
SELECT
    $1, upper(kind), rollup, window_start, auth_id, resource_id, model_id,
    old_prompt_tokens, old_cached_tokens, old_completion_tokens, old_billable_prompt_tokens,
    old_cost, old_applied_prompt_rate, old_applied_cached_rate, old_applied_completion_rate,
    old_event_count, old_base_model, old_price_book, old_run,
    new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens,
    new_cost, new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate,
    new_event_count, new_base_model, new_price_book
FROM rating_change
WHERE kind <> 'same'
ORDER BY window_start, auth_id, resource_id, model_id
