-- The same from the hourly sums, for an hour whose events are no longer kept.
-- $1: the hour, $2: auth_id, $3: resource_id, $4: model_id.
SELECT
    coalesce(sum(event_count) FILTER (WHERE billable), 0) AS events,
    coalesce(sum(prompt_tokens) FILTER (WHERE billable), 0) AS prompt_tokens,
    coalesce(sum(cached_tokens) FILTER (WHERE billable), 0) AS cached_tokens,
    coalesce(sum(completion_tokens) FILTER (WHERE billable), 0) AS completion_tokens,
    coalesce(sum(billable_prompt_tokens) FILTER (WHERE billable), 0) AS billable_prompt_tokens,
    max(last_stored_at) FILTER (WHERE billable) AS last_stored_at,
    coalesce(sum(event_count) FILTER (WHERE NOT usage_found), 0) AS without_usage,
    coalesce(sum(event_count) FILTER (WHERE usage_found AND model_untrusted), 0) AS untrusted
FROM (
    SELECT *, usage_found AND NOT model_untrusted AS billable
    FROM hourly_usage
    WHERE window_start = $1 AND auth_id = $2 AND resource_id = $3 AND model_id = $4
) AS hour
