-- How many events between two ids the default partition holds, counted up to a limit.
-- $1: the first id, $2: the first after them, $3: the limit.
SELECT count(*)
FROM (
    SELECT
    FROM billing_event_default
    WHERE request_id >= $1 AND request_id < $2
    LIMIT $3
) AS event
