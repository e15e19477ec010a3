-- Which of some events had their personal fields erased.
-- :request_ids: their ids, in lower case. One row for each, in any order.
SELECT request_id
FROM forgotten_event
WHERE request_id = ANY (:request_ids::text[])
