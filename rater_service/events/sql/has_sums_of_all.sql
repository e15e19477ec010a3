-- Whether an hour has sums of all producers together, from before the database was distributed.
-- :hour: the hour.
SELECT EXISTS (SELECT FROM hourly_usage WHERE window_start = :hour AND producer_id = '(all)') AS found
