-- Gives what was stored first under the ids of events that were sent again.
-- :request_ids: their ids; {columns}: the columns of an event. One row for each that is there, in any order.
SELECT {columns}
FROM billing_event
WHERE request_id = ANY (:request_ids::uuid[])
