-- Copies the window's hourly sums into buckets, each with its category, and its price if there is one.
-- {categories}: see categories.sql, which has arguments of its own. Prices, a column in each argument: :priced_model_id,
-- :priced_base_model, :priced_window_start: what a price is for; :priced_prompt_rate, :priced_cached_rate,
-- :priced_completion_rate, :priced_price_book, :priced_price_from: the price, by a book that is in force from then on, or
-- :priced_no_price_reason: why there is none. :keeps_rates: whether rollups that were rated before stay at the rates they
-- were rated at.
--
-- The ledger says which rates those are: a row that was changed behind its back must not choose its price. A bucket for
-- which no price is found any more stays rated, too, if the rollup stands for it: events of a fine-tune that stated another
-- base model, or none, were not part of it.
INSERT INTO rating_bucket
    (category, {key}, base_model, event_count, prompt, cached, completion, billable, excess_events, excess,
     partial_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
     prompt_rate, cached_rate, completion_rate, price_book, price_from, no_price_reason)
SELECT
    CASE
        WHEN usage.category = 'unpriced' AND coalesce(recorded.price_book, priced_price_book) IS NOT NULL THEN 'rated'
        ELSE usage.category
    END AS category,
    {usage.key}, usage.base_model, usage.event_count, prompt, cached, completion, billable, excess_events, excess,
    partial_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
    coalesce(applied_prompt_rate, priced_prompt_rate) AS prompt_rate,
    coalesce(applied_cached_rate, priced_cached_rate) AS cached_rate,
    coalesce(applied_completion_rate, priced_completion_rate) AS completion_rate,
    coalesce(recorded.price_book, priced_price_book) AS price_book,
    priced_price_from AS price_from,
    priced_no_price_reason AS no_price_reason
FROM (
{categories}
) AS usage
LEFT JOIN unnest(
    :priced_model_id::text[], :priced_base_model::text[], :priced_window_start::timestamptz[],
    :priced_prompt_rate::numeric[], :priced_cached_rate::numeric[], :priced_completion_rate::numeric[],
    :priced_price_book::text[], :priced_price_from::timestamptz[], :priced_no_price_reason::text[]
) AS price (
    priced_model_id, priced_base_model, priced_window_start, priced_prompt_rate, priced_cached_rate,
    priced_completion_rate, priced_price_book, priced_price_from, priced_no_price_reason)
    ON usage.category IN (
            'unpriced', 'ambiguous_base', 'unattributable', 'model_untrusted', 'tokens_out_of_range')
        AND usage.model_id = priced_model_id
        AND usage.window_start = priced_window_start
        -- No text is ever '', and unlike IS NOT DISTINCT FROM this can be hashed.
        AND coalesce(usage.base_model, '') = coalesce(priced_base_model, '')
LEFT JOIN rating_recorded AS recorded
    ON :keeps_rates::boolean
        AND ({usage.key}) = ({recorded.key})
        AND usage.category = 'unpriced'
        AND (priced_price_book IS NOT NULL
            OR NOT starts_with(usage.model_id, :fine_tune_prefix)
            OR usage.base_model IS NOT DISTINCT FROM recorded.base_model)
