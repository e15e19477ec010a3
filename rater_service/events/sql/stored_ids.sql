-- Which events are there.
-- :request_ids: their ids.
SELECT request_id
FROM billing_event
WHERE request_id = ANY (:request_ids::uuid[])
