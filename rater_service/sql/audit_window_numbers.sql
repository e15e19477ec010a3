-- For each producer with events from the window or later: its lowest number among them, and its lowest number among
-- the events after the window. Numbers are given when exchanges end, so that they follow the events' times.
-- $1: start of the window, $2: its end, exclusive (NULL: none), $3: only this producer, NULL: all.
SELECT
    producer_id,
    min(producer_seq) AS lowest,
    min(producer_seq) FILTER (WHERE event_time >= $2) AS lowest_after
FROM billing_event
WHERE event_time >= $1
    AND producer_seq IS NOT NULL
    AND ($3::text IS NULL OR producer_id = $3)
GROUP BY producer_id
