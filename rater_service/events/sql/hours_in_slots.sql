-- The hours of which sums stand in several slots, oldest first.
-- :since, :before: which hours (NULL: no such bound).
SELECT DISTINCT window_start AS hour
FROM hourly_usage
WHERE slot > 0
    AND (:since::timestamptz IS NULL OR window_start >= :since)
    AND (:before::timestamptz IS NULL OR window_start < :before)
ORDER BY window_start
