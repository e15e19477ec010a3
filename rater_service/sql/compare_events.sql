-- Tells for each event sent whether the stored one with its id is the same in everything but when it was stored.
-- $1: the events as rows of billing_event, all of them stored. One row each, in the order sent.
SELECT to_jsonb(stored) - 'stored_at' = to_jsonb(sent) - ARRAY['stored_at', 'ordinality'] AS same
FROM unnest($1::billing_event[]) WITH ORDINALITY AS sent
JOIN billing_event AS stored USING (request_id)
ORDER BY sent.ordinality
