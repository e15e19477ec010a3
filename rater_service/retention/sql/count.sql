-- How many events from before a time a partition holds.
-- {partition}: its name, $1: the time.
SELECT count(*) FROM {partition} WHERE event_time < $1
