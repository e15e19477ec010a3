-- Whose usage it probably is that the last run over some hours did not see, or that no run has rated: what is in no
-- rollup, of names that were added to since the run first, most events first.
-- :window_start: the hours; :since: for each, events stored from here on may be new to its last run (NULL: there was none);
-- :limit: how many rows.
SELECT
    hour.window_start AS hour, auth_id, resource_id, model_id,
    usage.events - coalesce(rated.event_count, 0) AS events,
    usage.tokens - coalesce(rated.prompt_tokens::numeric + rated.completion_tokens, 0) AS tokens
FROM unnest(:window_start::timestamptz[], :since::timestamptz[]) AS hour (window_start, since)
CROSS JOIN LATERAL (
    SELECT
        auth_id, resource_id, model_id,
        sum(event_count)::bigint AS events,
        sum(prompt_tokens + completion_tokens) AS tokens,
        bool_or(last_stored_at >= coalesce(hour.since, '-infinity')) AS is_recent
    FROM hourly_usage
    WHERE hourly_usage.window_start = hour.window_start
    GROUP BY auth_id, resource_id, model_id
) AS usage
LEFT JOIN rated_usage AS rated USING (window_start, auth_id, resource_id, model_id)
WHERE usage.events > coalesce(rated.event_count, 0)
ORDER BY is_recent DESC, events DESC, hour.window_start, auth_id, resource_id, model_id
LIMIT :limit
