-- The same from the hourly sums, for an hour whose events are no longer kept.
-- :window_start: the hour; :auth_id, :resource_id, :model_id: the rest of the key.
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
    WHERE ({key}) = ({:key})
) AS hour
