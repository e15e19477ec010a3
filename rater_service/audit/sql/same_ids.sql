-- Ids that events of several producers have, first ones first, each with how many ids that are. Where events are distributed
-- by their producer, only the audit sees that; elsewhere the second such event is a conflict when it comes.
-- :first_id, :end_id: those of an hour, by the times in them, its end exclusive: whatever the times of their events are;
-- :day_first_id, :day_end_id: those of the part that is audited. Of other ids those of which both events are of the hour;
-- :hour: the hour; :limit: how many rows.
SELECT
    request_id,
    string_agg(producer_id, ', ' ORDER BY producer_id) AS producers,
    count(*) OVER () AS ids
FROM (
    SELECT request_id, producer_id
    FROM stored_event
    WHERE request_id >= :first_id AND request_id < :end_id
    UNION ALL
    SELECT request_id, producer_id
    FROM stored_event
    WHERE event_time >= :hour AND event_time < :hour::timestamptz + interval '1 hour'
        AND (request_id < :day_first_id OR request_id >= :day_end_id)
) AS event
GROUP BY request_id
HAVING count(*) > 1
ORDER BY request_id
LIMIT :limit
