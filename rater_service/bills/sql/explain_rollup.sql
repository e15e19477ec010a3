-- One rollup.
-- $1: its number, or NULL to find it by its key; $2: the hour, $3: auth_id, $4: resource_id, $5: model_id.
SELECT *
FROM rated_usage
WHERE ($1::bigint IS NULL OR id = $1)
    AND ($1 IS NOT NULL
        OR window_start = $2::timestamptz AND auth_id = $3::text AND resource_id = $4::text AND model_id = $5::text)
