-- One page of rollups as they are, in their order.
-- :window_start, :window_end: the window, its end exclusive; :auth_id, :resource_id, :model_id: whose of what (NULL: no
-- such condition); :after: those after the rollup of this number (NULL: from the first), :limit: how many.
SELECT id, {key}, {values}, run, rated_at
FROM rated_usage
WHERE window_start >= :window_start AND window_start < :window_end
    AND (:auth_id::text IS NULL OR auth_id = :auth_id)
    AND (:resource_id::text IS NULL OR resource_id = :resource_id)
    AND (:model_id::text IS NULL OR model_id = :model_id)
    AND (:after::bigint IS NULL OR ({key}) > (SELECT {last.key} FROM rated_usage AS last WHERE last.id = :after))
ORDER BY {key}
LIMIT :limit
