-- The window's hourly sums, and of each which count of a run its events belong to.
-- :window_start, :window_end: the window, its end exclusive; :fine_tune_prefix: what the id of a fine-tune starts with.
--
-- In this order: who pays or for what is not known: unattributable; no usage: lost when the engine completed,
-- free when it did not; only the client's word stands behind the model: it could have chosen its price; a
-- fine-tune that came with several base models in one rollup: nobody can say which price is right, so no event
-- of the rollup is billed; more tokens than a rollup can hold: some engine counts wrongly, and must not keep the
-- others from being billed; otherwise there is something to price. What is not to be believed makes nothing
-- ambiguous or too large: a client could keep others' usage from being billed.
SELECT
    CASE
        WHEN auth_id IS NULL OR resource_id IS NULL OR (usage_found AND model_id IS NULL) THEN 'unattributable'
        WHEN NOT usage_found AND completed THEN 'missing_usage'
        WHEN NOT usage_found THEN 'zero_charge'
        WHEN model_untrusted THEN 'model_untrusted'
        WHEN starts_with(model_id, :fine_tune_prefix)
            AND min(base_model) FILTER (WHERE NOT model_untrusted) OVER rollup
                <> max(base_model) FILTER (WHERE NOT model_untrusted) OVER rollup
            THEN 'ambiguous_base'
        WHEN greatest(
                sum(prompt_tokens) FILTER (WHERE NOT model_untrusted) OVER rollup,
                sum(cached_tokens) FILTER (WHERE NOT model_untrusted) OVER rollup,
                sum(completion_tokens) FILTER (WHERE NOT model_untrusted) OVER rollup) > 9223372036854775807
            THEN 'tokens_out_of_range'
        ELSE 'unpriced'
    END AS category,
    {key},
    base_model,
    event_count,
    prompt_tokens AS prompt,
    cached_tokens AS cached,
    completion_tokens AS completion,
    billable_prompt_tokens AS billable,
    excess_cached_events AS excess_events,
    excess_cached_tokens AS excess,
    coalesce(partial_usage_events, 0) AS partial_events,
    unbilled_events,
    unbilled_bytes,
    echoed_events,
    echoed_tokens
FROM hourly_usage
WHERE window_start >= :window_start AND window_start < :window_end
WINDOW rollup AS (PARTITION BY {key}, usage_found)
