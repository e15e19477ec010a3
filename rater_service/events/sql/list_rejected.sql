-- Events that were kept aside and are not settled, oldest first.
-- $1: only those whose reason contains this (NULL: all), $2: only with these ids (NULL: all), $3: after this id,
-- $4: how many.
SELECT id, request_id, kind, reason, producer_id, producer_seq, received_at, event
FROM rejected_event
WHERE resolved_at IS NULL
    AND ($1::text IS NULL OR strpos(lower(reason), lower($1)) > 0)
    AND ($2::bigint[] IS NULL OR id = ANY ($2))
    AND id > $3
ORDER BY id
LIMIT $4
