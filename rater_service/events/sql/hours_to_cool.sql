-- The hours of which sums are not in the table of cold sums, oldest first.
-- :before: only hours before this one; :limit: how many at most.
SELECT DISTINCT window_start AS hour
FROM ONLY hourly_usage
WHERE window_start < :before
ORDER BY window_start
LIMIT :limit
