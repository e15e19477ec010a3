-- For each conflicting event the fields in which it differs from the one that was stored first, as
-- {field: [first, other]}; of how the rater stored it nothing counts.
-- :events: the events as rows of billing_event. One row for each that has a stored one.
SELECT sent.request_id, difference.fields
FROM unnest(:events::billing_event[]) AS sent
JOIN billing_event AS stored USING (request_id)
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_object_agg(key, jsonb_build_array(first.value, other.value) ORDER BY key), '{}') AS fields
    FROM jsonb_each(to_jsonb(stored)) AS first
    JOIN jsonb_each(to_jsonb(sent) - 'ordinality') AS other USING (key)
    WHERE key <> 'stored_at' AND first.value <> other.value
) AS difference
