-- What of a window is not on a bill, by why and by what decides its price; what is rightly free is left out.
-- {categories}: see categories.sql, which has arguments of its own. :auth_id, :resource_id, :model_id: whose of what
-- (NULL: no such condition).
--
-- 'UNPRICED' is here whatever no rollup has, whether there is a price by now or not. Usage that is ambiguous comes once
-- for each base model, with the usage of all of them: nobody knows which of them it is.
WITH usage AS (
    SELECT
        category.*,
        sum(event_count) OVER same_key - rated_events AS key_events,
        sum(prompt + completion) OVER same_key - rated_tokens AS key_tokens,
        sum(billable) OVER same_key - rated_billable AS key_billable,
        sum(cached) OVER same_key - rated_cached AS key_cached,
        sum(completion) OVER same_key - rated_completion AS key_completion,
        -- How much of this base model and of those before it no rollup has.
        sum(event_count) OVER bases - rated_events AS base_events,
        sum(prompt + completion) OVER bases - rated_tokens AS base_tokens,
        sum(billable) OVER bases - rated_billable AS base_billable,
        sum(cached) OVER bases - rated_cached AS base_cached,
        sum(completion) OVER bases - rated_completion AS base_completion
    FROM (
{categories}
    ) AS category
    LEFT JOIN (
        SELECT
            {key}, base_model AS rated_base_model, event_count AS had_events,
            prompt_tokens::numeric + completion_tokens AS had_tokens, billable_prompt_tokens AS had_billable,
            cached_tokens AS had_cached, completion_tokens AS had_completion
        FROM rated_usage
    ) AS rated
        USING ({key})
    CROSS JOIN LATERAL (
        -- Under one name there may be usage that is never billed, besides what is.
        SELECT category IN ('unpriced', 'ambiguous_base', 'tokens_out_of_range') AS is_billable
    ) AS kind
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN is_billable THEN coalesce(had_events, 0) ELSE 0 END AS rated_events,
            CASE WHEN is_billable THEN coalesce(had_tokens, 0) ELSE 0 END AS rated_tokens,
            CASE WHEN is_billable THEN coalesce(had_billable, 0) ELSE 0 END AS rated_billable,
            CASE WHEN is_billable THEN coalesce(had_cached, 0) ELSE 0 END AS rated_cached,
            CASE WHEN is_billable THEN coalesce(had_completion, 0) ELSE 0 END AS rated_completion
    ) AS had
    WHERE (:auth_id::text IS NULL OR auth_id = :auth_id)
        AND (:resource_id::text IS NULL OR resource_id = :resource_id)
        AND (:model_id::text IS NULL OR model_id = :model_id)
    WINDOW
        same_key AS (PARTITION BY {key}, category),
        -- A rollup has the usage of its own base model first. What it lacks is of the others, or came later.
        bases AS (
            PARTITION BY {key}, category
            ORDER BY base_model IS DISTINCT FROM rated_base_model, base_model
            ROWS UNBOUNDED PRECEDING)
), rest AS (
    SELECT
        category, {key}, base_model,
        event_count, excess_events, excess, partial_events, unbilled_events,
        greatest(least(base_events, event_count), 0) AS events,
        greatest(least(base_tokens, prompt + completion), 0) AS tokens,
        greatest(least(base_billable, billable), 0) AS billable,
        greatest(least(base_cached, cached), 0) AS cached,
        greatest(least(base_completion, completion), 0) AS completion
    FROM usage
)
SELECT
    upper(category COLLATE "C") AS reason, window_start AS hour, NULL AS auth_id, NULL AS resource_id, model_id, base_model,
    sum(events)::bigint AS events, sum(tokens) AS tokens, sum(billable) AS billable, sum(cached) AS cached,
    sum(completion) AS completion
FROM rest
WHERE category IN ('unpriced', 'unattributable', 'missing_usage', 'model_untrusted', 'tokens_out_of_range') AND events > 0
GROUP BY category, window_start, model_id, base_model
UNION ALL
SELECT
    'AMBIGUOUS_BASE' AS reason, window_start AS hour, auth_id, resource_id, model_id, base_model,
    key_events::bigint AS events, greatest(key_tokens, 0) AS tokens, greatest(key_billable, 0) AS billable,
    greatest(key_cached, 0) AS cached, greatest(key_completion, 0) AS completion
FROM usage
WHERE category = 'ambiguous_base' AND key_events > 0
UNION ALL
SELECT
    'CACHED_ABOVE_PROMPT' AS reason, window_start AS hour, NULL AS auth_id, NULL AS resource_id, model_id, base_model,
    sum(excess_events)::bigint AS events, sum(excess) AS tokens, 0 AS billable, sum(excess) AS cached, 0 AS completion
FROM rest
WHERE category = 'unpriced' AND events < event_count AND excess_events > 0
GROUP BY window_start, model_id, base_model
UNION ALL
SELECT
    'COUNT_NOT_REPORTED' AS reason, window_start AS hour, NULL AS auth_id, NULL AS resource_id, model_id, base_model,
    sum(partial_events)::bigint AS events, 0 AS tokens, 0 AS billable, 0 AS cached, 0 AS completion
FROM rest
WHERE category = 'unpriced' AND events < event_count AND partial_events > 0
GROUP BY window_start, model_id, base_model
UNION ALL
SELECT
    'UNBILLED_OUTPUT' AS reason, window_start AS hour, NULL AS auth_id, NULL AS resource_id, model_id, base_model,
    sum(unbilled_events)::bigint AS events, 0 AS tokens, 0 AS billable, 0 AS cached, 0 AS completion
FROM rest
WHERE category = 'zero_charge' AND unbilled_events > 0
GROUP BY window_start, model_id, base_model
