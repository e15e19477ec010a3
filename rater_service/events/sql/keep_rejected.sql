-- Keeps, whole, the events that were not stored; one that was kept before is not kept again.
-- The arguments have the names of the columns, each with the values of all events.
-- In the order of their hashes, so that batches that share events never deadlock.
INSERT INTO rejected_event (request_id, kind, reason, producer_id, producer_seq, event, received_at)
SELECT request_id, kind, reason, producer_id, producer_seq, event, received_at
FROM unnest(
    :request_id::text[], :kind::text[], :reason::text[], :producer_id::text[], :producer_seq::bigint[],
    :event::bytea[], :received_at::timestamptz[]
) AS refused (request_id, kind, reason, producer_id, producer_seq, event, received_at)
ORDER BY sha256(event)
ON CONFLICT (event_sha256) DO NOTHING
