-- Erases the personal fields of a person's events of a page, and notes which events these are. Their sums stay: none of
-- the fields decides what is billed.
-- :erasure: which erasure it is; :after: those after this id (NULL: from the first), :last: up to this one; :user_id,
-- :auth_id, :client_request_id: whose, all but one NULL.
WITH erased AS (
    UPDATE stored_event AS stored
    SET user_id = NULL, client_request_id = NULL, usage_raw = NULL, usage_numbers = NULL, trace_id = NULL
    FROM billing_event AS event
    WHERE (:after::uuid IS NULL OR stored.request_id > :after) AND stored.request_id <= :last
        AND event.request_id = stored.request_id
        AND (:after IS NULL OR event.request_id > :after) AND event.request_id <= :last
        AND (event.user_id = :user_id::text OR event.auth_id = :auth_id::text
             OR event.client_request_id = :client_request_id::text)
        AND num_nonnulls(
            stored.user_id, stored.client_request_id, stored.usage_raw, stored.usage_numbers, stored.trace_id) > 0
    RETURNING stored.request_id
), noted AS (
    INSERT INTO forgotten_event (request_id, erasure)
    SELECT request_id::text, :erasure::bigint AS erasure
    FROM erased
    ON CONFLICT DO NOTHING
)
SELECT count(*) AS events
FROM erased
