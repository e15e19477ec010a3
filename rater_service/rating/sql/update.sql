-- Replaces the rollups that changed, which keep their ids; the others are not touched.
-- $1: the run, $2: when it started.
UPDATE rated_usage AS rated
SET prompt_tokens = change.new_prompt_tokens,
    cached_tokens = change.new_cached_tokens,
    completion_tokens = change.new_completion_tokens,
    billable_prompt_tokens = change.new_billable_prompt_tokens,
    cost = change.new_cost,
    applied_prompt_rate = change.new_applied_prompt_rate,
    applied_cached_rate = change.new_applied_cached_rate,
    applied_completion_rate = change.new_applied_completion_rate,
    event_count = change.new_event_count,
    base_model = change.new_base_model,
    price_book = change.new_price_book,
    run = $1,
    rated_at = $2
FROM rating_change AS change
WHERE change.kind = 'update' AND rated.id = change.rollup
