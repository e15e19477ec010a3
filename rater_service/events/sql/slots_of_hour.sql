-- The slots beside slot 0 that have sums of an hour.
-- :hour: the hour.
SELECT DISTINCT slot
FROM hourly_usage
WHERE window_start = :hour AND slot > 0
ORDER BY slot
