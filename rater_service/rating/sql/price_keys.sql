-- Everything that a price is needed for, to bill it or to say what is at risk. Ordered so that the hours of a
-- model follow each other.
SELECT DISTINCT model_id, base_model, window_start
FROM rating_bucket
WHERE category IN ('unpriced', 'ambiguous_base', 'unattributable', 'model_untrusted', 'tokens_out_of_range')
    AND model_id IS NOT NULL
ORDER BY model_id, base_model, window_start
