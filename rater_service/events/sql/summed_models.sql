-- The models under which a customer's usage of an hour is summed.
-- :window_start: the hour; :auth_id: the customer (NULL: events without one); :other_models: the name that stands for
-- several, which is none; :limit: how many at most.
SELECT DISTINCT model_id
FROM hourly_usage
WHERE window_start = :window_start
    AND (auth_id = :auth_id OR (:auth_id::text IS NULL AND auth_id IS NULL))
    AND model_id <> :other_models
LIMIT :limit
