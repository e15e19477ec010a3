-- How many events between two ids the default partition holds, counted up to a limit.
-- :lower_id: the first id, :upper_id: the first after them, :limit: how far to count.
SELECT count(*)
FROM (
    SELECT 1 AS one
    FROM billing_event_default
    WHERE request_id >= :lower_id AND request_id < :upper_id
    LIMIT :limit
) AS event
