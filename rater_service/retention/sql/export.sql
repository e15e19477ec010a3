-- The events of a partition from before a time, in the order of their ids, whole.
-- {partition}: its name, {columns}: see export_columns.sql, :before: the time.
SELECT {columns}
FROM {partition} AS event
LEFT JOIN event_pattern AS pattern ON pattern.number = event.pattern
WHERE event_time < :before
ORDER BY request_id
