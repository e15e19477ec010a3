-- Events that no run has seen, and that ended after a time, or long before their producer was first heard of, by hour and
-- producer, most first.
-- :window_start: the hours; :unseen: for each, how many events no run has seen: those that were stored last, whatever the
-- clocks of raters say; :is_rated: whether there was a run at all, without which it is all of them; :ahead_of: the time;
-- :age: how long before.
SELECT
    hour.window_start AS hour, producer_id, producer.name,
    count(*)::bigint AS events,
    sum(coalesce(prompt_tokens, 0)::numeric + coalesce(completion_tokens, 0)) AS tokens,
    event_time > :ahead_of AS is_ahead
FROM unnest(:window_start::timestamptz[], :unseen::bigint[], :is_rated::boolean[]) AS hour (window_start, unseen, is_rated)
CROSS JOIN LATERAL (
    SELECT producer_id, event_time, prompt_tokens, completion_tokens
    FROM stored_event
    WHERE NOT hour.is_rated
        AND event_time >= hour.window_start AND event_time < hour.window_start + interval '1 hour'
    UNION ALL
    (
        SELECT producer_id, event_time, prompt_tokens, completion_tokens
        FROM stored_event
        WHERE hour.is_rated
            AND event_time >= hour.window_start AND event_time < hour.window_start + interval '1 hour'
        ORDER BY stored_at DESC, request_id DESC
        LIMIT hour.unseen
    )
) AS event
LEFT JOIN producer USING (producer_id)
WHERE event_time > :ahead_of OR event_time < producer.first_seen - :age::interval
GROUP BY hour.window_start, producer_id, producer.name, event_time > :ahead_of
ORDER BY events DESC, hour.window_start, producer_id
