-- Erases the personal fields of a person's events of a page, and notes which events these are. Their sums stay: none of
-- the fields decides what is billed.
-- :erasure: which erasure it is; :after: those after this id (NULL: from the first), :last: up to this one; :user_id,
-- :auth_id, :client_request_id: whose, all but one NULL.
WITH erased AS (
    UPDATE billing_event
    SET user_id = NULL, client_request_id = NULL, usage_raw = NULL, trace_id = NULL
    WHERE (:after::uuid IS NULL OR request_id > :after) AND request_id <= :last
        AND (user_id = :user_id::text OR auth_id = :auth_id::text OR client_request_id = :client_request_id::text)
        AND num_nonnulls(user_id, client_request_id, usage_raw, trace_id) > 0
    RETURNING request_id
), noted AS (
    INSERT INTO forgotten_event (request_id, erasure)
    SELECT request_id::text, :erasure::bigint AS erasure
    FROM erased
    ON CONFLICT DO NOTHING
)
SELECT count(*) AS events
FROM erased
