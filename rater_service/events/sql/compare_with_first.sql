-- The fields in which an event differs from the one that was stored first under its id: [first, other] for each.
-- :event: the event as an object of its columns. No row if none was stored, or none differs.
WITH stored AS MATERIALIZED (
    SELECT *
    FROM billing_event
    WHERE request_id = (:event::jsonb ->> 'request_id')::uuid
)
SELECT jsonb_object_agg(field, jsonb_build_array(value.first, value.other) ORDER BY field) AS fields
FROM stored
JOIN jsonb_populate_record(NULL::billing_event, :event::jsonb) AS sent ON sent.request_id = stored.request_id
CROSS JOIN jsonb_object_keys(:event::jsonb) AS field
CROSS JOIN LATERAL (SELECT to_jsonb(stored) -> field AS first, to_jsonb(sent) -> field AS other) AS value
WHERE value.first <> value.other
HAVING count(*) > 0
