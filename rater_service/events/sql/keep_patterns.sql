-- Finds patterns of events, and makes those that are missing. Returns the number of each; of one that another rater makes at
-- this moment none.
-- :digests: which; the other arguments have the names of their columns, each with the values of all.
WITH sent AS (
    SELECT *
    FROM unnest(
        :digests::bytea[], :auth_id::text[], :group_id::text[], :resource_id::text[], :resource_type::text[],
        :base_model::text[], :model_id::text[], :requested_model::text[], :api::text[], :outcome::text[],
        :finish_reason::text[], :usage_form::text[]
    ) AS sent (
        digest, auth_id, group_id, resource_id, resource_type, base_model, model_id, requested_model, api, outcome,
        finish_reason, usage_form)
), known AS MATERIALIZED (
    SELECT number, digest
    FROM event_pattern
    WHERE digest = ANY (:digests)
), made AS (
    -- In the order of the digests, so that raters that make the same never deadlock.
    INSERT INTO event_pattern
        (digest, auth_id, group_id, resource_id, resource_type, base_model, model_id, requested_model, api, outcome,
         finish_reason, usage_form)
    SELECT
        digest, auth_id, group_id, resource_id, resource_type, base_model, model_id, requested_model, api, outcome,
        finish_reason, usage_form
    FROM sent
    WHERE digest NOT IN (SELECT digest FROM known)
    ORDER BY digest
    ON CONFLICT (digest) DO NOTHING
    RETURNING number, digest
)
SELECT number, digest FROM known
UNION ALL
SELECT number, digest FROM made
