-- As rating/late_offenders.sql: the sums of all hours are read at once.
-- :window_start: the hours; :since: for each, events stored from here on may be new to its last run (NULL: there was none);
-- :limit: how many rows.
WITH hour AS MATERIALIZED (
    SELECT *
    FROM unnest(:window_start::timestamptz[], :since::timestamptz[]) AS hour (window_start, since)
), usage AS MATERIALIZED (
    SELECT
        hour.window_start, auth_id, resource_id, model_id,
        sum(event_count)::bigint AS events,
        sum(prompt_tokens + completion_tokens) AS tokens,
        bool_or(last_stored_at >= coalesce(hour.since, '-infinity')) AS is_recent
    FROM hourly_usage
    JOIN hour ON hour.window_start = hourly_usage.window_start
    GROUP BY hour.window_start, auth_id, resource_id, model_id
)
SELECT
    window_start AS hour, auth_id, resource_id, model_id,
    usage.events - coalesce(rated.event_count, 0) AS events,
    usage.tokens - coalesce(rated.prompt_tokens::numeric + rated.completion_tokens, 0) AS tokens
FROM usage
LEFT JOIN rated_usage AS rated USING (window_start, auth_id, resource_id, model_id)
WHERE usage.events > coalesce(rated.event_count, 0)
ORDER BY is_recent DESC, events DESC, window_start, auth_id, resource_id, model_id
LIMIT :limit
