-- The same rows as list_rejected.sql, of those with these ids; nobody else retries them until the transaction ends.
-- :ids: their ids.
SELECT id, kind, reason, event
FROM rejected_event
WHERE id = ANY (:ids) AND resolved_at IS NULL
ORDER BY id
FOR UPDATE
