-- The whole hours that hold events, sums or rollups, and the moment of the snapshot: a standby does not know it.
SELECT
    CASE WHEN NOT pg_is_in_recovery() THEN now() END AS audited_at,
    date_trunc('hour', least(
        (SELECT min(event_time) FROM stored_event), (SELECT min(window_start) FROM hourly_usage),
        (SELECT min(window_start) FROM rated_usage)), 'UTC') AS first_hour,
    date_trunc('hour', greatest(
        (SELECT max(event_time) FROM stored_event), (SELECT max(window_start) FROM hourly_usage),
        (SELECT max(window_start) FROM rated_usage)), 'UTC') AS last_hour
