-- Stores the events of a batch that are new, and returns their ids; an id that is there already is left alone, and so
-- is an event that belongs where events were pruned: it was there, perhaps.
-- :events: the events as rows of billing_event.
-- Every batch inserts in the order of the ids: batches that share ids wait for each other but never deadlock.
INSERT INTO billing_event
SELECT sent.*
FROM unnest(:events::billing_event[]) AS sent
WHERE sent.event_time > coalesce((SELECT max(last_event_time) FROM pruned_event_range), '-infinity')
    OR NOT event_was_pruned(sent.request_id, sent.event_time)
ORDER BY sent.request_id
ON CONFLICT (request_id) DO NOTHING
RETURNING request_id
