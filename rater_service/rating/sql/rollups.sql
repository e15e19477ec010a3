-- Adds the rated buckets up to the rollups that rated_usage must have. All events of a rollup get one rate, so
-- multiplying the sums is exact.
--
-- Only a fine-tune can find two prices in one rollup: the book in force prices it by the base model some events
-- state, and a later book names it, which prices the others. The book that came into force first decides, as
-- it did if the rollup was rated before there was a later one.
INSERT INTO rating_rollup
    (auth_id, resource_id, model_id, window_start,
     prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, cost,
     applied_prompt_rate, applied_cached_rate, applied_completion_rate, event_count, base_model, price_book)
SELECT
    auth_id, resource_id, model_id, window_start,
    prompt, cached, completion, billable,
    billable * prompt_rate + cached * cached_rate + completion * completion_rate,
    prompt_rate, cached_rate, completion_rate, event_count, base_model, price_book
FROM (
    SELECT
        auth_id, resource_id, model_id, window_start,
        sum(prompt) AS prompt, sum(cached) AS cached, sum(completion) AS completion, sum(billable) AS billable,
        min(prompt_rate) FILTER (WHERE decides) AS prompt_rate,
        min(cached_rate) FILTER (WHERE decides) AS cached_rate,
        min(completion_rate) FILTER (WHERE decides) AS completion_rate,
        min(price_book) FILTER (WHERE decides) AS price_book,
        sum(event_count) AS event_count,
        CASE WHEN min(base_model) = max(base_model) THEN min(base_model) END AS base_model
    FROM (
        SELECT
            *,
            price_from IS NOT DISTINCT FROM min(price_from) OVER (
                PARTITION BY window_start, auth_id, resource_id, model_id) AS decides
        FROM rating_bucket
        WHERE category = 'rated'
    ) AS bucket
    GROUP BY window_start, auth_id, resource_id, model_id
) AS rated
