-- The rows of a table whose hour, or first hour, is in a year.
-- {table}: its name, {sorted}: by which columns; :window_start, :window_end: the year, its end exclusive.
SELECT *
FROM {table}
WHERE window_start >= :window_start AND window_start < :window_end
ORDER BY {sorted}
