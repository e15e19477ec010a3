-- What was not billed though it may be owed or was reported, was billed and is taken back, or was changed behind the
-- ledger's back:
-- one row for each of the ten combinations of names that contribute most events to a reason, with the sums over all of
-- the reason's, and its hours.
-- :deletion_is_anomaly: whether deleting a rollup that had a cost is one in this run. :other_models: the name under which
-- usage of several models is summed.
WITH candidate AS (
    -- A rollup with several base models, once for each of its buckets, at the price of that bucket's base.
    SELECT
        auth_id, resource_id, model_id, base_model, window_start,
        sum(event_count) OVER rollup AS event_count,
        sum(prompt + completion) OVER rollup AS tokens,
        sum(billable) OVER rollup * prompt_rate + sum(cached) OVER rollup * cached_rate
            + sum(completion) OVER rollup * completion_rate AS cost
    FROM rating_bucket
    WHERE category = 'ambiguous_base'
    WINDOW rollup AS (PARTITION BY auth_id, resource_id, model_id, window_start)
), echoing AS (
    -- An engine that has one name is not asked for another: two names, each exactly what was asked, are probably the
    -- clients' own words.
    SELECT
        resource_id,
        count(DISTINCT model_id) AS names,
        to_json((array_agg(DISTINCT model_id ORDER BY model_id))[1:3]) AS first_names
    FROM rating_bucket
    WHERE echoed_events > 0
    GROUP BY resource_id
    HAVING count(DISTINCT model_id) > 1
), suspect AS (
    SELECT
        upper(category COLLATE "C") AS reason, window_start, auth_id, resource_id, model_id, base_model,
        CASE WHEN category = 'unpriced' THEN no_price_reason END AS detail,
        event_count,
        prompt + completion AS tokens,
        billable * prompt_rate + cached * cached_rate + completion * completion_rate AS cost
    FROM rating_bucket
    WHERE category IN ('unpriced', 'unattributable', 'model_untrusted', 'missing_usage', 'tokens_out_of_range')
    UNION ALL
    SELECT
        'AMBIGUOUS_BASE' AS reason, window_start, auth_id, resource_id, model_id,
        string_agg(DISTINCT base_model, ', ' ORDER BY base_model) AS base_model,
        NULL AS detail,
        max(event_count) AS event_count,
        max(tokens) AS tokens,
        max(cost) AS cost
    FROM candidate
    GROUP BY auth_id, resource_id, model_id, window_start
    UNION ALL
    SELECT
        'CACHED_ABOVE_PROMPT' AS reason, window_start, auth_id, resource_id, model_id, base_model,
        NULL AS detail,
        excess_events AS event_count,
        excess AS tokens,
        excess * cached_rate AS cost
    FROM rating_bucket
    WHERE category = 'rated' AND excess_events > 0
    UNION ALL
    -- How many tokens were not reported nobody knows, nor what they would cost.
    SELECT
        'COUNT_NOT_REPORTED' AS reason, window_start, auth_id, resource_id, model_id, base_model,
        NULL AS detail,
        partial_events AS event_count,
        0 AS tokens,
        NULL AS cost
    FROM rating_bucket
    WHERE category = 'rated' AND partial_events > 0
    UNION ALL
    -- It is billed under the name. What it would cost under the model's own nobody knows.
    SELECT
        'MODEL_ECHOED' AS reason, window_start, auth_id, resource_id, model_id, base_model,
        format('the resource answered as %s names, each exactly what was asked: %s', names, first_names) AS detail,
        echoed_events AS event_count,
        echoed_tokens AS tokens,
        NULL AS cost
    FROM rating_bucket
    JOIN echoing USING (resource_id)
    WHERE echoed_events > 0
    UNION ALL
    -- Each of these events is in one of the counts as well, under this name.
    SELECT
        'TOO_MANY_MODELS' AS reason, window_start, auth_id, resource_id, model_id,
        NULL AS base_model, NULL AS detail,
        event_count,
        prompt + completion AS tokens,
        NULL AS cost
    FROM rating_bucket
    WHERE model_id = :other_models
    UNION ALL
    SELECT
        'BILLED_ROLLUP_DELETED' AS reason, window_start, auth_id, resource_id, model_id,
        old_base_model AS base_model,
        NULL AS detail,
        old_event_count AS event_count,
        old_prompt_tokens::numeric + old_completion_tokens AS tokens,
        old_cost AS cost
    FROM rating_change
    WHERE :deletion_is_anomaly AND kind = 'delete' AND old_cost > 0
    UNION ALL
    SELECT
        'ROLLUP_TAMPERED' AS reason, window_start, auth_id, resource_id, model_id,
        coalesce(old_base_model, new_base_model) AS base_model,
        to_char(window_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z: "') || tampering AS detail,
        coalesce(old_event_count, new_event_count) AS event_count,
        coalesce(
            old_prompt_tokens::numeric + old_completion_tokens, new_prompt_tokens + new_completion_tokens) AS tokens,
        tampered_cost AS cost
    FROM rating_change
    WHERE tampering IS NOT NULL
), offender AS (
    SELECT
        reason, auth_id, resource_id, model_id, base_model, detail,
        sum(event_count)::bigint AS events,
        -- As many as the answer can hold.
        least(sum(tokens), 9223372036854775807)::bigint AS tokens,
        sum(cost) AS money_at_risk
    FROM suspect
    GROUP BY reason, auth_id, resource_id, model_id, base_model, detail
), ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY reason
            ORDER BY events DESC, tokens DESC, auth_id, resource_id, model_id, base_model, detail) AS place,
        sum(events) OVER (PARTITION BY reason)::bigint AS reason_events,
        least(sum(tokens) OVER (PARTITION BY reason), 9223372036854775807)::bigint AS reason_tokens,
        sum(money_at_risk) OVER (PARTITION BY reason) AS reason_money_at_risk
    FROM offender
), reason_hour AS (
    SELECT
        reason, count(DISTINCT window_start) AS reason_hours, min(window_start) AS first_hour,
        max(window_start) AS last_hour
    FROM suspect
    GROUP BY reason
)
SELECT *
FROM ranked
JOIN reason_hour USING (reason)
WHERE place <= 10
ORDER BY reason_events DESC, reason, place
