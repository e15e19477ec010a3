-- The hours of which sums stand in several slots, oldest first. For a schema without a table of cold sums.
-- :before: only hours before this one (NULL: all).
SELECT DISTINCT window_start AS hour
FROM hourly_usage
WHERE slot > 0 AND (:before::timestamptz IS NULL OR window_start < :before)
ORDER BY window_start
