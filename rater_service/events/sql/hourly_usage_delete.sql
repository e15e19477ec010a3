-- Takes away the sums of an hour, which then are made again.
-- :hour: the hour.
DELETE FROM hourly_usage
WHERE window_start = :hour
