-- Stores the events of a batch that are new, and returns their ids; an id that is there already is left alone.
-- $1: the events as rows of billing_event.
-- Every batch inserts in the order of the ids: batches that share ids wait for each other but never deadlock.
INSERT INTO billing_event
SELECT sent.*
FROM unnest($1::billing_event[]) AS sent
ORDER BY sent.request_id
ON CONFLICT (request_id) DO NOTHING
RETURNING request_id
