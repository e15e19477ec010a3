-- Events that were kept aside and are not settled, oldest first.
-- :reason: only those whose reason contains this (NULL: all), :ids: only with these ids (NULL: all), :after: those
-- after this id, :limit: how many.
SELECT id, request_id, kind, reason, producer_id, producer_seq, received_at, event
FROM rejected_event
WHERE resolved_at IS NULL
    AND (:reason::text IS NULL OR strpos(lower(reason COLLATE "C"), lower(:reason COLLATE "C")) > 0)
    AND (:ids::bigint[] IS NULL OR id = ANY (:ids))
    AND id > :after
ORDER BY id
LIMIT :limit
