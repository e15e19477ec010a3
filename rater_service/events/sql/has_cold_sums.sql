-- Whether there are cold sums of an hour.
-- :hour: the hour.
SELECT EXISTS (SELECT FROM hourly_usage_cold WHERE window_start = :hour)
