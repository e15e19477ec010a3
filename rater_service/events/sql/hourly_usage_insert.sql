-- Makes the sums of an hour from its events.
-- :window_start, :window_end: the hour, its end exclusive.
INSERT INTO hourly_usage
SELECT *
FROM hourly_usage_of_events(:window_start, :window_end)
