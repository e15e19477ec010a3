-- What of a window is not on a bill, by why and by what decides its price; what is rightly free is left out.
-- {categories}: see categories.sql, which has arguments of its own. :auth_id, :resource_id, :model_id: whose of what
-- (NULL: no such condition).
--
-- 'UNPRICED' is here whatever no rollup has, whether there is a price by now or not. Usage that is ambiguous comes once
-- for each base model, with the usage of all of them: nobody knows which of them it is.
WITH usage AS (
    SELECT
        category.*,
        sum(category.event_count) OVER same_key AS key_events,
        sum(category.prompt + category.completion) OVER same_key AS key_tokens,
        sum(category.billable) OVER same_key AS key_billable,
        sum(category.cached) OVER same_key AS key_cached,
        sum(category.completion) OVER same_key AS key_completion,
        rated.event_count AS rated_events,
        rated.prompt_tokens::numeric + rated.completion_tokens AS rated_tokens,
        rated.billable_prompt_tokens AS rated_billable,
        rated.cached_tokens AS rated_cached,
        rated.completion_tokens AS rated_completion
    FROM (
{categories}
    ) AS category
    LEFT JOIN rated_usage AS rated USING ({key})
    WHERE (:auth_id::text IS NULL OR auth_id = :auth_id)
        AND (:resource_id::text IS NULL OR resource_id = :resource_id)
        AND (:model_id::text IS NULL OR model_id = :model_id)
    WINDOW same_key AS (PARTITION BY {key}, category)
)
SELECT
    upper(category COLLATE "C") AS reason, window_start AS hour, NULL AS auth_id, NULL AS resource_id, model_id, base_model,
    sum(event_count)::bigint AS events,
    sum(prompt + completion) AS tokens,
    sum(billable) AS billable, sum(cached) AS cached, sum(completion) AS completion
FROM usage
WHERE category IN ('unattributable', 'missing_usage', 'model_untrusted', 'tokens_out_of_range')
    OR category = 'unpriced' AND rated_events IS NULL
GROUP BY category, window_start, model_id, base_model
UNION ALL
SELECT DISTINCT ON ({key})
    'UNPRICED' AS reason, window_start AS hour, NULL AS auth_id, NULL AS resource_id, model_id,
    max(base_model) OVER (PARTITION BY {key}) AS base_model,
    (key_events - rated_events)::bigint AS events, key_tokens - rated_tokens AS tokens, key_billable - rated_billable AS billable,
    key_cached - rated_cached AS cached, key_completion - rated_completion AS completion
FROM usage
WHERE category = 'unpriced' AND key_events > rated_events
UNION ALL
SELECT
    'AMBIGUOUS_BASE' AS reason, window_start AS hour, auth_id, resource_id, model_id, base_model,
    key_events::bigint AS events, key_tokens AS tokens, key_billable AS billable, key_cached AS cached,
    key_completion AS completion
FROM usage
WHERE category = 'ambiguous_base'
UNION ALL
SELECT
    'CACHED_ABOVE_PROMPT' AS reason, window_start AS hour, NULL AS auth_id, NULL AS resource_id, model_id, base_model,
    sum(excess_events)::bigint AS events, sum(excess) AS tokens, 0 AS billable, sum(excess) AS cached, 0 AS completion
FROM usage
WHERE category = 'unpriced' AND rated_events > 0 AND excess_events > 0
GROUP BY window_start, model_id, base_model
