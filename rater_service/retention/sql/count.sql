-- How many events from before a time a partition holds.
-- {partition}: its name, :before: the time.
SELECT count(*) FROM {partition} WHERE event_time < :before
