-- Replaces an event that was kept aside by what is left of it without its personal fields, unless that is kept already.
-- :id: which, :event: what is left. Returns a row if it was replaced.
UPDATE rejected_event
SET event = :event
WHERE id = :id
    AND NOT EXISTS (SELECT FROM rejected_event AS same WHERE same.event_sha256 = sha256(:event::bytea) AND same.id <> :id)
RETURNING id
