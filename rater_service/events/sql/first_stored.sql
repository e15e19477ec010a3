-- Gives what was stored first under the ids of events that were sent again.
-- :request_ids: their ids. One row of billing_event for each that is there, in any order.
SELECT *
FROM billing_event
WHERE request_id = ANY (:request_ids::uuid[])
