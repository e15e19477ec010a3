-- One event, whole. Of events that have this id in any partition there is one at most: it is the primary key.
-- :request_id: which.
SELECT {event}, stored_at, summed_as_other
FROM billing_event
WHERE request_id = :request_id
