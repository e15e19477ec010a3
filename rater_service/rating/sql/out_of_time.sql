-- Events of some hours that ended after a time, or long before their producer was first heard of, by hour and producer,
-- most first.
-- :window_start: the hours; :ahead_of: the time; :age: how long before.
SELECT
    hour.window_start AS hour, producer_id,
    count(*)::bigint AS events,
    sum(coalesce(prompt_tokens, 0)::numeric + coalesce(completion_tokens, 0)) AS tokens,
    event_time > :ahead_of AS is_ahead
FROM unnest(:window_start::timestamptz[]) AS hour (window_start)
JOIN billing_event ON event_time >= hour.window_start AND event_time < hour.window_start + interval '1 hour'
LEFT JOIN producer USING (producer_id)
WHERE event_time > :ahead_of OR event_time < producer.first_seen - :age::interval
GROUP BY hour.window_start, producer_id, event_time > :ahead_of
ORDER BY events DESC, hour.window_start, producer_id
