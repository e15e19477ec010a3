-- Gives the buckets their prices.
UPDATE rating_bucket AS bucket
SET category = CASE
        WHEN bucket.category = 'unpriced' AND price.price_book IS NOT NULL THEN 'rated'
        ELSE bucket.category
    END,
    prompt_rate = price.prompt_rate,
    cached_rate = price.cached_rate,
    completion_rate = price.completion_rate,
    price_book = price.price_book,
    price_from = price.price_from,
    no_price_reason = price.no_price_reason
FROM rating_price AS price
WHERE bucket.category IN ('unpriced', 'ambiguous_base', 'unattributable', 'model_untrusted', 'tokens_out_of_range')
    AND bucket.model_id = price.model_id
    AND bucket.window_start = price.window_start
    -- No text is ever '', and unlike IS NOT DISTINCT FROM this can be hashed.
    AND coalesce(bucket.base_model, '') = coalesce(price.base_model, '')
