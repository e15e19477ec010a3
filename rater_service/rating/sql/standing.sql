-- What stands in rated_usage where it is not what the run computed, counted: rows that are missing, too many, or differ.
-- :window_start, :window_end: the window, its end exclusive.
SELECT count(*)
FROM (SELECT * FROM rating_change WHERE kind <> 'delete') AS must
FULL JOIN (SELECT * FROM rated_usage WHERE window_start >= :window_start AND window_start < :window_end) AS found
    USING ({key})
WHERE ({must.new_values}) IS DISTINCT FROM ({found.values})
