-- Notes an hour as touched, as batches do.
-- :hour: the hour.
INSERT INTO touched_hour (window_start, touched_in)
SELECT :hour::timestamptz AS window_start, date_trunc('hour', clock_timestamp(), 'UTC') AS touched_in
ON CONFLICT DO NOTHING
