-- Notes events that were kept aside as erased.
-- :request_ids: their ids, in lower case; :erasure: which erasure it is.
INSERT INTO forgotten_event (request_id, erasure)
SELECT DISTINCT request_id, :erasure::bigint AS erasure
FROM unnest(:request_ids::text[]) AS erased (request_id)
ON CONFLICT DO NOTHING
