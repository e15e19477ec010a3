-- One page of rated usage, in the order of rollups, after the rollup of the page before, as it was when the first
-- page was read.
-- $1: from this hour, $2: before this hour, $3: auth_id, $4: resource_id, $5 to $8: the key of the last rollup
-- seen, $9: how many rows, $10: the last change there was when the first page was read. NULL means no such
-- condition; planned with the values at hand, such a condition disappears, and what is left is answered from one
-- index in page order.
--
-- Runs that came later replaced what they found: the first change since then of a rollup has what it was.
WITH later AS (
    SELECT DISTINCT ON (window_start, auth_id, resource_id, model_id) *
    FROM rated_usage_change
    WHERE id > $10
        AND ($1::timestamptz IS NULL OR window_start >= $1)
        AND ($2::timestamptz IS NULL OR window_start < $2)
        AND ($3::text IS NULL OR auth_id = $3)
        AND ($4::text IS NULL OR resource_id = $4)
        AND ($5::timestamptz IS NULL
            OR (window_start, auth_id, resource_id, model_id) > ($5, $6::text, $7::text, $8::text))
    ORDER BY window_start, auth_id, resource_id, model_id, id
)
(
    SELECT
        id, auth_id, resource_id, model_id, window_start, window_end,
        prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, cost,
        applied_prompt_rate, applied_cached_rate, applied_completion_rate, event_count, base_model, price_book,
        run, rated_at
    FROM rated_usage
    WHERE ($1 IS NULL OR window_start >= $1)
        AND ($2 IS NULL OR window_start < $2)
        AND ($3 IS NULL OR auth_id = $3)
        AND ($4 IS NULL OR resource_id = $4)
        AND ($5 IS NULL OR (window_start, auth_id, resource_id, model_id) > ($5, $6, $7, $8))
        AND NOT EXISTS (
            SELECT
            FROM later
            WHERE (later.window_start, later.auth_id, later.resource_id, later.model_id)
                = (rated_usage.window_start, rated_usage.auth_id, rated_usage.resource_id, rated_usage.model_id))
    ORDER BY window_start, auth_id, resource_id, model_id
    LIMIT $9
)
UNION ALL
(
    SELECT
        rollup, auth_id, resource_id, model_id, later.window_start, later.window_start + interval '1 hour',
        old_prompt_tokens, old_cached_tokens, old_completion_tokens, old_billable_prompt_tokens, old_cost,
        old_applied_prompt_rate, old_applied_cached_rate, old_applied_completion_rate, old_event_count,
        old_base_model, old_price_book, old_run, started_at
    FROM later
    -- What was inserted was nothing before, and has no old run.
    JOIN rating_run ON rating_run.id = old_run
    ORDER BY later.window_start, auth_id, resource_id, model_id
    LIMIT $9
)
ORDER BY window_start, auth_id, resource_id, model_id
LIMIT $9
