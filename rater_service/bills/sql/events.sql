-- One page of the events of a window, oldest first.
-- :window_start, :window_end: the window, its end exclusive, a day at most: the cost follows its events; :auth_id,
-- :user_id, :group_id, :resource_id, :model_id, :client_request_id, :trace_id (in hexadecimal digits): whose of what
-- (NULL: no such condition);
-- :after_time, :after_id: those after this one (NULL: from the first), :limit: how many.
SELECT {event}, stored_at
FROM billing_event
WHERE event_time >= :window_start AND event_time < :window_end
    AND (:auth_id::text IS NULL OR auth_id = :auth_id)
    AND (:user_id::text IS NULL OR user_id = :user_id)
    AND (:group_id::text IS NULL OR group_id = :group_id)
    AND (:resource_id::text IS NULL OR resource_id = :resource_id)
    AND (:model_id::text IS NULL OR model_id = :model_id)
    AND (:client_request_id::text IS NULL OR client_request_id = :client_request_id)
    AND (:trace_id::text IS NULL OR trace_id = decode(:trace_id, 'hex'))
    AND (:after_time::timestamptz IS NULL OR (event_time, request_id) > (:after_time, :after_id::uuid))
    -- Said once more, because an index can begin there.
    AND (:after_time IS NULL OR event_time >= :after_time)
ORDER BY event_time, request_id
LIMIT :limit
