-- Makes the sums of an hour from its events.
-- $1: the hour, $2: its end, exclusive.
INSERT INTO hourly_usage
SELECT *
FROM hourly_usage_of_events($1, $2)
