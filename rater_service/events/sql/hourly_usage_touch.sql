-- Notes an hour as touched, as batches do.
-- :hour: the hour.
INSERT INTO touched_hour (window_start, touched_in /*by producer:, producer_id */)
SELECT :hour::timestamptz AS window_start, date_trunc('hour', clock_timestamp(), 'UTC') AS touched_in /*by producer:, '(all)' AS producer_id */
ON CONFLICT DO NOTHING
