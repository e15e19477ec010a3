-- The rated buckets, added up to the rollups that rated_usage must have. All events of a rollup get one rate, so
-- multiplying the sums is exact.
--
-- Only a fine-tune can find two prices in one rollup: the book in force prices it by the base model some events
-- state, and a later book names it, which prices the others. The book that came into force first decides, as
-- it did if the rollup was rated before there was a later one.
SELECT {key}, {values}
FROM (
    SELECT
        {key},
        sum(prompt) AS prompt_tokens,
        sum(cached) AS cached_tokens,
        sum(completion) AS completion_tokens,
        sum(billable) AS billable_prompt_tokens,
        min(prompt_rate) FILTER (WHERE decides) AS applied_prompt_rate,
        min(cached_rate) FILTER (WHERE decides) AS applied_cached_rate,
        min(completion_rate) FILTER (WHERE decides) AS applied_completion_rate,
        sum(event_count) AS event_count,
        CASE WHEN min(base_model) = max(base_model) THEN min(base_model) END AS base_model,
        min(price_book) FILTER (WHERE decides) AS price_book
    FROM (
        SELECT *, price_from IS NOT DISTINCT FROM min(price_from) OVER (PARTITION BY {key}) AS decides
        FROM rating_bucket
        WHERE category = 'rated'
    ) AS bucket
    GROUP BY {key}
) AS rated
CROSS JOIN LATERAL (
    SELECT
        billable_prompt_tokens * applied_prompt_rate + cached_tokens * applied_cached_rate
            + completion_tokens * applied_completion_rate AS cost
) AS charged
