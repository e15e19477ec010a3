SELECT
    -- Whole hours of UTC, whatever the session's time zone is.
    date_trunc('hour', event_time, 'UTC') AS window_start,
    auth_id, resource_id,
    -- A price file can't have this name.
    CASE WHEN summed_as_other THEN '(other models)' ELSE model_id END AS model_id,
    base_model, usage_found, model_untrusted,
    outcome = 'completed' AS completed,
    count(*) AS event_count,
    sum(coalesce(prompt_tokens, 0))::numeric(38, 0) AS prompt_tokens,
    -- Per event: cached tokens are a part of the prompt, and what an engine reports beyond it is cut off. What one
    -- event has too many must not shorten another's prompt.
    sum(least(coalesce(cached_tokens, 0), coalesce(prompt_tokens, 0)))::numeric(38, 0) AS cached_tokens,
    sum(coalesce(completion_tokens, 0))::numeric(38, 0) AS completion_tokens,
    sum(greatest(coalesce(prompt_tokens, 0) - coalesce(cached_tokens, 0), 0))::numeric(38, 0)
        AS billable_prompt_tokens,
    count(*) FILTER (WHERE cached_tokens > coalesce(prompt_tokens, 0)) AS excess_cached_events,
    sum(greatest(coalesce(cached_tokens, 0) - coalesce(prompt_tokens, 0), 0))::numeric(38, 0)
        AS excess_cached_tokens,
    min(stored_at) AS first_stored_at,
    max(stored_at) AS last_stored_at,
    -- Earlier versions of the addon do not say what an API's answers have; a prompt they all have.
    count(*) FILTER (WHERE usage_partial OR (usage_found AND prompt_tokens IS NULL)) AS partial_usage_events,
    -- An error is no output, and of a whole answer without usage runs say so anyway.
    count(*) FILTER (
        WHERE NOT usage_found AND outcome <> 'completed' AND status_code BETWEEN 200 AND 299 AND answer_bytes > 0)
        AS unbilled_events,
    coalesce(sum(answer_bytes) FILTER (
        WHERE NOT usage_found AND outcome <> 'completed' AND status_code BETWEEN 200 AND 299 AND answer_bytes > 0),
        0)::numeric(38, 0) AS unbilled_bytes,
    count(*) FILTER (WHERE model_echoed) AS echoed_events,
    coalesce(
        sum(coalesce(prompt_tokens, 0)::numeric + coalesce(completion_tokens, 0)) FILTER (WHERE model_echoed), 0)::numeric(38, 0)
        AS echoed_tokens
FROM {events}
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
