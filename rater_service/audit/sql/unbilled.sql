-- What was metered in an hour under keys that have no rollup, by what decides the price. None of it is a loss if there
-- is no price for it. Fine-tunes that came with several base models under one key are not billed, rightly.
-- :hour: the hour. :late_from: events stored from here on may have come after the last run over the hour. :sums_hold:
-- whether the hourly sums stand for the events; :archived: what those in the archive add up to, as JSON. :fine_tune_prefix: what the id of a fine-tune starts with.
WITH summed AS (
    SELECT * FROM hourly_usage WHERE :sums_hold AND window_start = :hour
    UNION ALL
    SELECT * FROM hourly_usage_of_events(:hour, :hour::timestamptz + interval '1 hour') WHERE NOT :sums_hold
    UNION ALL
    SELECT * FROM jsonb_populate_recordset(NULL::hourly_usage, :archived::jsonb) WHERE NOT :sums_hold
)
SELECT
    model_id, base_model,
    count(*) AS rollups,
    sum(event_count)::bigint AS events,
    bool_and(late) AS late,
    (min(ARRAY[auth_id, resource_id]))[1] AS auth_id,
    (min(ARRAY[auth_id, resource_id]))[2] AS resource_id
FROM (
    SELECT
        auth_id, resource_id, model_id,
        max(base_model) AS base_model,
        sum(event_count)::bigint AS event_count,
        min(first_stored_at) >= :late_from AS late
    FROM summed
    WHERE usage_found AND NOT model_untrusted
        AND auth_id IS NOT NULL AND resource_id IS NOT NULL AND model_id IS NOT NULL
    GROUP BY auth_id, resource_id, model_id
    HAVING NOT starts_with(model_id, :fine_tune_prefix) OR min(base_model) IS NOT DISTINCT FROM max(base_model)
) AS key
WHERE NOT EXISTS (
    SELECT
    FROM rated_usage
    WHERE window_start = :hour
        AND rated_usage.auth_id = key.auth_id
        AND rated_usage.resource_id = key.resource_id
        AND rated_usage.model_id = key.model_id)
GROUP BY model_id, base_model
ORDER BY model_id, base_model
