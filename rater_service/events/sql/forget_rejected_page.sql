-- Some events that were kept aside, settled or not, in their order.
-- :after: those after this number, :limit: how many.
SELECT id, request_id, event
FROM rejected_event
WHERE id > :after
ORDER BY id
LIMIT :limit
FOR UPDATE
