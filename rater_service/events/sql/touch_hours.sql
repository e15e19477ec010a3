-- Notes an hour as touched by a batch of a producer, in a distributed database. Of arguments alone: Citus finds the producer's
-- node in less time than it plans a query.
-- :window_start: the hour; :producer_id: whose batch.
INSERT INTO touched_hour (window_start, touched_in, producer_id)
VALUES (:window_start, date_trunc('hour', clock_timestamp(), 'UTC'), :producer_id)
ON CONFLICT DO NOTHING
