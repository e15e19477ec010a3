-- How many events have no producer, counted up to a limit.
-- :limit: how far to count.
SELECT count(*)
FROM (
    SELECT 1 AS one
    FROM stored_event
    WHERE producer_id IS NULL
    LIMIT :limit
) AS event
