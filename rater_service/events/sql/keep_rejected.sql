-- Keeps, whole, the events that were not stored; one that was kept before is not kept again.
-- $1: request ids, $2: kinds, $3: reasons, $4: producer ids, $5: producer sequence numbers, $6: the messages,
-- $7: when they came.
-- In the order of their hashes, so that batches that share events never deadlock.
INSERT INTO rejected_event (request_id, kind, reason, producer_id, producer_seq, event, received_at)
SELECT request_id, kind, reason, producer_id, producer_seq, event, $7
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[])
    AS refused (request_id, kind, reason, producer_id, producer_seq, event)
ORDER BY sha256(event)
ON CONFLICT (event_sha256) DO NOTHING
