-- The last of the next events in the order of their ids, so many at most; NULL: there are none.
-- :after: those after this id (NULL: from the first), :limit: how many.
SELECT request_id AS last
FROM (
    SELECT request_id
    FROM stored_event
    WHERE :after::uuid IS NULL OR request_id > :after
    ORDER BY request_id
    LIMIT :limit
) AS page
ORDER BY request_id DESC
LIMIT 1
