-- Keeps, whole, the events that were not stored; one that was kept before is not kept again.
-- :refused: the events as rows of rejected_event.
-- In the order of their hashes, so that batches that share events never deadlock.
INSERT INTO rejected_event (request_id, kind, reason, producer_id, producer_seq, event, received_at)
SELECT request_id, kind, reason, producer_id, producer_seq, event, received_at
FROM unnest(:refused::rejected_event[]) AS refused
ORDER BY sha256(event)
ON CONFLICT (event_sha256) DO NOTHING
