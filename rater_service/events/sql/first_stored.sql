-- Gives what was stored first under the ids of events that were sent again.
-- $1: request ids. One row of billing_event for each that is there, in any order.
SELECT *
FROM billing_event
WHERE request_id = ANY ($1::uuid[])
