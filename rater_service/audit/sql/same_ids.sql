-- Ids of an hour that events of several producers have, first ones first, each with how many ids that are. Where events are
-- distributed by their producer, only the audit sees that; elsewhere the second such event is a conflict when it comes.
-- :hour: the hour, :limit: how many rows.
SELECT
    request_id,
    string_agg(producer_id, ', ' ORDER BY producer_id) AS producers,
    count(*) OVER () AS ids
FROM stored_event
WHERE event_time >= :hour AND event_time < :hour::timestamptz + interval '1 hour'
GROUP BY request_id
HAVING count(*) > 1
ORDER BY request_id
LIMIT :limit
