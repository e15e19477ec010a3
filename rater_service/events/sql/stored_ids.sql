-- Which events are there.
-- :request_ids: their ids.
SELECT request_id
FROM stored_event
WHERE request_id = ANY (:request_ids::uuid[])
