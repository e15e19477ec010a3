-- For each producer with events from the window or later: its lowest number among them, and its lowest number among
-- the events after the window. Numbers are given when exchanges end, so that they follow the events' times. Events that
-- were pruned together count as if all had ended with the first of them.
-- $1: start of the window, $2: its end, exclusive (NULL: none), $3: only this producer, NULL: all.
SELECT
    producer_id,
    min(number) AS lowest,
    min(number) FILTER (WHERE ended >= $2) AS lowest_after
FROM (
    SELECT producer_id, producer_seq AS number, event_time AS ended
    FROM billing_event
    WHERE event_time >= $1 AND producer_seq IS NOT NULL
    UNION ALL
    SELECT pruned_number.producer_id, lower(pruned_number.numbers), pruned.first_event_time
    FROM pruned_number
    JOIN pruned_event_range AS pruned ON pruned.id = pruned_number.range_id
    WHERE pruned.first_event_time >= $1
) AS numbered
WHERE $3::text IS NULL OR producer_id = $3
GROUP BY producer_id
