-- For each producer with events from the window or later: its lowest number among them, and its lowest number among
-- the events after the window. Numbers are given when exchanges end, so that they follow the events' times. Events that
-- were pruned together count as if all had ended with the first of them.
-- :window_start, :window_end: the window, its end exclusive (NULL: none); :producer_id: only this producer (NULL: all).
SELECT
    producer_id,
    min(number) AS lowest,
    min(number) FILTER (WHERE ended >= :window_end) AS lowest_after
FROM (
    SELECT producer_id, producer_seq AS number, event_time AS ended
    FROM billing_event
    WHERE event_time >= :window_start AND producer_seq IS NOT NULL
    UNION ALL
    SELECT pruned_number.producer_id, lower(pruned_number.numbers) AS number, pruned.first_event_time AS ended
    FROM pruned_number
    JOIN pruned_event_range AS pruned ON pruned.id = pruned_number.range_id
    WHERE pruned.first_event_time >= :window_start
) AS numbered
WHERE :producer_id::text IS NULL OR producer_id = :producer_id
GROUP BY producer_id
