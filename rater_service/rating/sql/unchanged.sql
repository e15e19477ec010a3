-- What each hour of the window holds, by its sums and its rollups, and whether a run would leave it as it is.
-- :window_start, :window_end: the window, its end exclusive; :fine_tune_prefix: what the id of a fine-tune starts with.
--
-- It is left as it is where all of this holds, whatever prices there are:
-- - Of its usage nothing is to be said (anomalies.sql), and what came without tokens is free.
-- - All usage with tokens is on the bill: each rollup is what its usage adds up to, at the rates that the ledger has for
--   it, and is as the ledger has it; none is missing, and none is too many. A run keeps such rates (buckets.sql) unless it
--   is told to find others. What can't be billed has no rollup, so it is not as this asks.
-- - The usage of a fine-tune all states the base model of its rollup, or none: whatever differs may be ambiguous, or find
--   no price any more.
WITH hour AS (
    SELECT
        window_start,
        sum(event_count)::bigint AS events,
        sum(prompt_tokens + completion_tokens) AS tokens,
        coalesce(sum(event_count) FILTER (WHERE NOT usage_found), 0)::bigint AS zero_charge_events,
        bool_and(
            auth_id IS NOT NULL AND resource_id IS NOT NULL AND (usage_found OR NOT completed)
            AND excess_cached_events = 0 AND coalesce(partial_usage_events, 0) = 0
            AND unbilled_events = 0 AND echoed_events = 0) AS is_plain
    FROM hourly_usage
    WHERE window_start >= :window_start AND window_start < :window_end
    GROUP BY window_start
), used AS (
    SELECT
        {key},
        sum(prompt_tokens) AS prompt_tokens,
        sum(cached_tokens) AS cached_tokens,
        sum(completion_tokens) AS completion_tokens,
        sum(billable_prompt_tokens) AS billable_prompt_tokens,
        sum(event_count) AS event_count,
        CASE WHEN min(base_model) = max(base_model) THEN min(base_model) END AS base_model,
        NOT starts_with(model_id, :fine_tune_prefix)
            OR count(base_model) = 0
            OR count(base_model) = count(*) AND min(base_model) = max(base_model) AS is_of_one_price
    FROM hourly_usage
    WHERE window_start >= :window_start AND window_start < :window_end AND usage_found
    GROUP BY {key}
), recorded AS (
    SELECT *
    FROM (
        SELECT DISTINCT ON ({key}) kind, rollup, run, {key}, {new_values}
        FROM rated_usage_change
        WHERE window_start >= :window_start AND window_start < :window_end
        ORDER BY {key}, run DESC
    ) AS latest
    WHERE kind <> 'DELETE'
), compared AS (
    SELECT
        window_start, found.event_count, found.cost, found.price_book,
        -- Of a row that one of them lacks, something is NULL.
        coalesce(is_of_one_price, false)
        AND (used.prompt_tokens, used.cached_tokens, used.completion_tokens, used.billable_prompt_tokens,
             used.event_count)
            IS NOT DISTINCT FROM (found.prompt_tokens, found.cached_tokens, found.completion_tokens,
             found.billable_prompt_tokens, found.event_count)
        AND used.billable_prompt_tokens * new_applied_prompt_rate + used.cached_tokens * new_applied_cached_rate
            + used.completion_tokens * new_applied_completion_rate IS NOT DISTINCT FROM found.cost
        AND used.base_model IS NOT DISTINCT FROM found.base_model
        AND (found.id, found.run, {found.values}) IS NOT DISTINCT FROM (recorded.rollup, recorded.run, {new_values})
            AS is_as_used
    FROM used
    FULL JOIN (
        SELECT * FROM rated_usage WHERE window_start >= :window_start AND window_start < :window_end
    ) AS found USING ({key})
    FULL JOIN recorded USING ({key})
    -- So that what is sorted below is narrow.
    OFFSET 0
), rollup AS (
    SELECT
        window_start,
        count(*) AS rollups,
        sum(event_count)::bigint AS rated_events,
        sum(cost) AS cost,
        array_agg(DISTINCT price_book) AS price_books,
        bool_and(is_as_used) AS is_as_used
    FROM compared
    GROUP BY window_start
)
SELECT
    window_start AS hour,
    coalesce(events, 0) AS events,
    coalesce(tokens, 0) AS tokens,
    coalesce(zero_charge_events, 0) AS zero_charge_events,
    coalesce(rollups, 0) AS rollups,
    coalesce(rated_events, 0) AS rated_events,
    coalesce(cost, 0) AS cost,
    coalesce(price_books, '{}') AS price_books,
    coalesce(is_plain, false) AND coalesce(is_as_used, true) AS is_unchanged
FROM hour
FULL JOIN rollup USING (window_start)
ORDER BY window_start
