-- The events of a partition from before a time, in the order of their ids, all columns.
-- {partition}: its name, $1: the time.
SELECT * FROM {partition} WHERE event_time < $1 ORDER BY request_id
