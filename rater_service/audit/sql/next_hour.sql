-- The first whole hour from a moment on that holds an event, a sum or a rollup; NULL: there is none.
-- :window_start: the moment.
SELECT date_trunc('hour', least(
    (SELECT min(event_time) FROM stored_event WHERE event_time >= :window_start),
    (SELECT min(window_start) FROM hourly_usage WHERE window_start >= :window_start),
    (SELECT min(window_start) FROM rated_usage WHERE window_start >= :window_start)), 'UTC') AS hour
