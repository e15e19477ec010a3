-- How many events of a page are a person's and not erased yet.
-- :after: those after this id (NULL: from the first), :last: up to this one; :user_id, :auth_id, :client_request_id:
-- whose, all but one NULL.
SELECT count(*) AS events
FROM billing_event
WHERE (:after::uuid IS NULL OR request_id > :after) AND request_id <= :last
    AND (user_id = :user_id::text OR auth_id = :auth_id::text OR client_request_id = :client_request_id::text)
    AND num_nonnulls(user_id, client_request_id, usage_raw, trace_id) > 0
