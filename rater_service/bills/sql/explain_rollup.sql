-- One rollup.
-- :id: its number, or NULL to find it by its key: :window_start, :auth_id, :resource_id, :model_id.
SELECT id, {key}, {values}, run
FROM rated_usage
WHERE (:id::bigint IS NULL OR id = :id)
    AND (:id IS NOT NULL OR ({key}) = ({:key}))
