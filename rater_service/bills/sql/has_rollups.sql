-- Whether there is a rollup in a window.
-- :window_start, :window_end: the window, its end exclusive.
SELECT EXISTS (
    SELECT
    FROM rated_usage
    WHERE window_start >= :window_start AND window_start < :window_end)
