-- The parts of an exchange: further models that its answer used, each with an event of its own. They have the time of
-- their exchange, so that the index of times finds them.
-- :part_of: the exchange's own event, :event_time: when it ended.
SELECT request_id
FROM stored_event
WHERE event_time = :event_time AND part_of = :part_of
ORDER BY request_id
