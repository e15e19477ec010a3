-- The first and the last day that rollups or sums by the day are of; NULL: there are none.
SELECT
    date_trunc('day', least((SELECT min(window_start) FROM rated_usage), (SELECT min(day) FROM rated_day)), 'UTC') AS first_day,
    date_trunc('day', greatest((SELECT max(window_start) FROM rated_usage), (SELECT max(day) FROM rated_day)), 'UTC') AS last_day
