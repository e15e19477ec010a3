-- How many events of an hour were stored after one of them, counted up to :limit.
-- :window_start: the hour; :stored_at and :request_id: of the one.
SELECT count(*)
FROM (
    SELECT 1 AS one
    FROM stored_event
    WHERE event_time >= :window_start AND event_time < :window_start::timestamptz + interval '1 hour'
        AND (stored_at, request_id) > (:stored_at, :request_id)
    LIMIT :limit
) AS later
