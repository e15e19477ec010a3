-- What a partition holds from before a time, and how many events from then on.
-- {partition}: its name, :before: the time.
SELECT
    count(*) FILTER (WHERE event_time >= :before) AS later_events,
    count(*) FILTER (WHERE event_time < :before) AS event_count,
    coalesce(sum(prompt_tokens) FILTER (WHERE event_time < :before), 0) AS prompt_tokens,
    coalesce(sum(cached_tokens) FILTER (WHERE event_time < :before), 0) AS cached_tokens,
    coalesce(sum(completion_tokens) FILTER (WHERE event_time < :before), 0) AS completion_tokens,
    min(event_time) FILTER (WHERE event_time < :before) AS first_event_time,
    max(event_time) FILTER (WHERE event_time < :before) AS last_event_time
FROM {partition}
