-- Takes away the sums of an hour of which nothing is left.
-- :hour: the hour.
DELETE FROM hourly_usage
WHERE window_start = :hour AND event_count = 0
