-- Leaves rollups that were rated before at the rates they were rated at. The ledger says which those are: a row
-- that was changed behind its back must not choose its price.
--
-- A bucket for which no price is found any more stays rated, too, if the rollup stands for it: events of a
-- fine-tune that stated another base model, or none, were not part of it.
-- :fine_tune_prefix: what the id of a fine-tune starts with.
UPDATE rating_bucket AS bucket
SET category = 'rated',
    prompt_rate = recorded.applied_prompt_rate,
    cached_rate = recorded.applied_cached_rate,
    completion_rate = recorded.applied_completion_rate,
    price_book = recorded.price_book
FROM rating_recorded AS recorded
WHERE ({bucket.key}) = ({recorded.key})
    AND (bucket.category = 'rated'
        OR bucket.category = 'unpriced'
            AND (NOT starts_with(bucket.model_id, :fine_tune_prefix)
                OR bucket.base_model IS NOT DISTINCT FROM recorded.base_model))
