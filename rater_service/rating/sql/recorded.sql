-- Reads which rollups the window has by the ledger: of each key the last change, unless that deleted it.
-- :window_start, :window_end: the window, its end exclusive.
INSERT INTO rating_recorded (id, run, {key}, {values})
SELECT rollup AS id, run, {key}, {new_values}
FROM (
    SELECT DISTINCT ON ({key}) *
    FROM rated_usage_change
    WHERE window_start >= :window_start AND window_start < :window_end
    ORDER BY {key}, run DESC
) AS latest
WHERE kind <> 'DELETE'
