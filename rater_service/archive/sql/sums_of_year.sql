-- What the rows of a table whose hour, or first hour, is in a year add up to, by month, and by customer if they have one.
-- {table}: its name; {customer}: the column of the customer, {sums}: what is added up; :window_start, :window_end: the
-- year, its end exclusive.
SELECT date_trunc('month', window_start, 'UTC') AS month, {customer} AS customer, count(*) AS row_count, {sums}
FROM {table}
WHERE window_start >= :window_start AND window_start < :window_end
GROUP BY 1, 2
