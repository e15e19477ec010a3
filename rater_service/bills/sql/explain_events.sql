-- What the events of a key and hour add up to: those that can be billed, and how many others there are.
-- :window_start: the hour; :auth_id, :resource_id, :model_id: the rest of the key.
SELECT
    count(*) FILTER (WHERE billable) AS events,
    coalesce(sum(prompt_tokens) FILTER (WHERE billable), 0) AS prompt_tokens,
    -- What an engine reports beyond the prompt is not billed.
    coalesce(sum(least(coalesce(cached_tokens, 0), coalesce(prompt_tokens, 0))) FILTER (WHERE billable), 0)
        AS cached_tokens,
    coalesce(sum(completion_tokens) FILTER (WHERE billable), 0) AS completion_tokens,
    coalesce(sum(greatest(coalesce(prompt_tokens, 0) - coalesce(cached_tokens, 0), 0)) FILTER (WHERE billable), 0)
        AS billable_prompt_tokens,
    max(stored_at) FILTER (WHERE billable) AS last_stored_at,
    count(*) FILTER (WHERE NOT usage_found) AS without_usage,
    count(*) FILTER (WHERE usage_found AND model_untrusted) AS untrusted
FROM (
    SELECT *, usage_found AND NOT model_untrusted AS billable
    FROM billing_event
    WHERE event_time >= :window_start AND event_time < :window_start::timestamptz + interval '1 hour'
        AND auth_id = :auth_id AND resource_id = :resource_id AND model_id = :model_id
) AS event
