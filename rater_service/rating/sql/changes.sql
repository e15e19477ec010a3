-- Finds how rated_usage differs from the rollups it must have, and from those it has by the ledger.
-- $1: start of the window, $2: its end, exclusive.
--
-- A row that differs from the ledger was changed behind its back, and is written anew even if by chance it is as it
-- must be.
INSERT INTO rating_change
    (kind, tampering, tampered_cost, rollup, auth_id, resource_id, model_id, window_start,
     old_prompt_tokens, old_cached_tokens, old_completion_tokens, old_billable_prompt_tokens,
     old_cost, old_applied_prompt_rate, old_applied_cached_rate, old_applied_completion_rate,
     old_event_count, old_base_model, old_price_book, old_run,
     new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens,
     new_cost, new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate,
     new_event_count, new_base_model, new_price_book)
SELECT
    CASE
        WHEN must.cost IS NULL THEN 'delete'
        WHEN found.cost IS NULL THEN 'insert'
        WHEN tampering IS NOT NULL THEN 'update'
        WHEN (must.prompt_tokens, must.cached_tokens, must.completion_tokens, must.billable_prompt_tokens,
              must.cost, must.applied_prompt_rate, must.applied_cached_rate, must.applied_completion_rate,
              must.event_count, must.base_model, must.price_book)
            IS DISTINCT FROM
             (found.prompt_tokens, found.cached_tokens, found.completion_tokens, found.billable_prompt_tokens,
              found.cost, found.applied_prompt_rate, found.applied_cached_rate, found.applied_completion_rate,
              found.event_count, found.base_model, found.price_book) THEN 'update'
        ELSE 'same'
    END,
    tampering,
    abs(coalesce(found.cost, 0) - coalesce(recorded.cost, 0)),
    found.id,
    auth_id, resource_id, model_id, window_start,
    found.prompt_tokens, found.cached_tokens, found.completion_tokens, found.billable_prompt_tokens,
    found.cost, found.applied_prompt_rate, found.applied_cached_rate, found.applied_completion_rate,
    found.event_count, found.base_model, found.price_book, found.run,
    must.prompt_tokens, must.cached_tokens, must.completion_tokens, must.billable_prompt_tokens,
    must.cost, must.applied_prompt_rate, must.applied_cached_rate, must.applied_completion_rate,
    must.event_count, must.base_model, must.price_book
FROM rating_rollup AS must
FULL JOIN (SELECT * FROM rated_usage WHERE window_start >= $1 AND window_start < $2) AS found
    USING (window_start, auth_id, resource_id, model_id)
LEFT JOIN rating_recorded AS recorded
    USING (window_start, auth_id, resource_id, model_id)
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN found.cost IS NULL AND recorded.cost IS NULL THEN NULL
        WHEN recorded.cost IS NULL THEN 'no run wrote it'
        WHEN found.cost IS NULL THEN 'it was deleted'
        WHEN (found.id, found.run, found.prompt_tokens, found.cached_tokens, found.completion_tokens,
              found.billable_prompt_tokens, found.cost, found.applied_prompt_rate, found.applied_cached_rate,
              found.applied_completion_rate, found.event_count, found.base_model, found.price_book)
            IS NOT DISTINCT FROM
             (recorded.rollup, recorded.run, recorded.prompt_tokens, recorded.cached_tokens,
              recorded.completion_tokens, recorded.billable_prompt_tokens, recorded.cost,
              recorded.applied_prompt_rate, recorded.applied_cached_rate, recorded.applied_completion_rate,
              recorded.event_count, recorded.base_model, recorded.price_book) THEN NULL
        ELSE (
            SELECT string_agg(format('%s was %s, is %s', name, coalesce(was, 'NULL'), coalesce(is_now, 'NULL')), '; ')
            FROM (VALUES
                ('id', recorded.rollup::text, found.id::text),
                ('run', recorded.run::text, found.run::text),
                ('prompt_tokens', recorded.prompt_tokens::text, found.prompt_tokens::text),
                ('cached_tokens', recorded.cached_tokens::text, found.cached_tokens::text),
                ('completion_tokens', recorded.completion_tokens::text, found.completion_tokens::text),
                ('billable_prompt_tokens', recorded.billable_prompt_tokens::text, found.billable_prompt_tokens::text),
                ('cost', recorded.cost::text, found.cost::text),
                ('applied_prompt_rate', recorded.applied_prompt_rate::text, found.applied_prompt_rate::text),
                ('applied_cached_rate', recorded.applied_cached_rate::text, found.applied_cached_rate::text),
                ('applied_completion_rate', recorded.applied_completion_rate::text,
                 found.applied_completion_rate::text),
                ('event_count', recorded.event_count::text, found.event_count::text),
                ('base_model', recorded.base_model, found.base_model),
                ('price_book', recorded.price_book, found.price_book)
            ) AS value (name, was, is_now)
            WHERE was IS DISTINCT FROM is_now)
    END AS tampering
) AS compared
