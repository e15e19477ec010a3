-- One page of rollups as they are, in their order.
-- :window_start, :window_end: the window, its end exclusive; :auth_id, :resource_id, :model_id: whose of what (NULL: no
-- such condition); :after_window_start, :after_auth_id, :after_resource_id, :after_model_id: those after the rollup of this key
-- (NULL: from the first); :limit: how many (NULL: all).
SELECT id, {key}, {values}, run, rated_at
FROM rated_usage
WHERE window_start >= :window_start AND window_start < :window_end
    AND (:auth_id::text IS NULL OR auth_id = :auth_id)
    AND (:resource_id::text IS NULL OR resource_id = :resource_id)
    AND (:model_id::text IS NULL OR model_id = :model_id)
    AND (:after_window_start::timestamptz IS NULL
        OR ({key}) > (:after_window_start, :after_auth_id::text, :after_resource_id::text, :after_model_id::text))
ORDER BY {key}
LIMIT :limit
