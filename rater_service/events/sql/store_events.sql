-- Stores the events of a batch that are new and belong into one partition, and returns their ids; an id that is there
-- already is left alone, and so is an event that belongs where events were pruned: it was there, perhaps.
-- {partition}: the partition; {columns}: the columns of an event; {arrays}: for each of them, in the same order, an argument of its name with the
-- values of all events. Not the row type of the table: a session would keep the one it saw first, and fail once a later
-- version has added a column.
-- Every batch inserts in the order of the ids: batches that share ids wait for each other but never deadlock.
INSERT INTO {partition} ({columns})
SELECT {columns}
FROM unnest({arrays}) AS sent ({columns})
WHERE sent.event_time > coalesce((SELECT max(last_event_time) FROM pruned_event_range), '-infinity')
    OR NOT event_was_pruned(sent.request_id, sent.event_time)
ORDER BY sent.request_id
ON CONFLICT DO NOTHING
RETURNING request_id
