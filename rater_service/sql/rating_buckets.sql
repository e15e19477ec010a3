-- Sums the window's events into buckets and says of each which count of the run its events belong to.
-- $1: start of the window, $2: its end, exclusive.
--
-- In this order: who pays or for what is not known: unattributable; no usage: lost when the engine completed,
-- free when it did not; only the client's word stands behind the model: it could have chosen its price; a
-- fine-tune that came with several base models in one rollup: nobody can say which price is right, so no event
-- of the rollup is billed; otherwise there is something to price. What is not to be believed makes nothing
-- ambiguous: a client could keep others' usage from being billed.
INSERT INTO rating_bucket
    (category, auth_id, resource_id, model_id, base_model, window_start,
     event_count, prompt, cached, completion, billable)
SELECT
    CASE
        WHEN auth_id IS NULL OR resource_id IS NULL OR (usage_found AND model_id IS NULL) THEN 'unattributable'
        WHEN NOT usage_found AND completed THEN 'missing_usage'
        WHEN NOT usage_found THEN 'zero_charge'
        WHEN model_untrusted THEN 'model_untrusted'
        WHEN model_id LIKE 'ft:%'
            AND min(base_model) FILTER (WHERE usage_found AND NOT model_untrusted) OVER rollup
                <> max(base_model) FILTER (WHERE usage_found AND NOT model_untrusted) OVER rollup
            THEN 'ambiguous_base'
        ELSE 'unpriced'
    END,
    auth_id, resource_id, model_id, base_model, window_start,
    event_count, prompt, cached, completion, billable
FROM (
    SELECT
        auth_id, resource_id, model_id, base_model, usage_found, model_untrusted,
        outcome = 'completed' AS completed,
        -- Whole hours of UTC, whatever the session's time zone is.
        date_trunc('hour', event_time, 'UTC') AS window_start,
        count(*) AS event_count,
        sum(coalesce(prompt_tokens, 0)) AS prompt,
        sum(coalesce(cached_tokens, 0)) AS cached,
        sum(coalesce(completion_tokens, 0)) AS completion,
        -- Per event: what one event has too many cached tokens must not shorten another's prompt.
        sum(greatest(coalesce(prompt_tokens, 0) - coalesce(cached_tokens, 0), 0)) AS billable
    FROM billing_event
    WHERE event_time >= $1 AND event_time < $2
    GROUP BY auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed, window_start
) AS agreeing
WINDOW rollup AS (PARTITION BY auth_id, resource_id, model_id, window_start)
