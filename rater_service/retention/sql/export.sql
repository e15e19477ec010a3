-- The events of a partition from before a time, in the order of their ids, all columns.
-- {partition}: its name, :before: the time.
SELECT * FROM {partition} WHERE event_time < :before ORDER BY request_id
