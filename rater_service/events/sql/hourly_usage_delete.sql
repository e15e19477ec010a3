-- Takes away the sums of an hour, which then are made again.
-- $1: the hour.
DELETE FROM hourly_usage
WHERE window_start = $1
