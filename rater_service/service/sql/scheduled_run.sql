-- Finds the run that has done what is about to be done, if one has, and until when all hours were rated by then.
-- $1: start of the window, $2: its end, $3: when the run was due.
SELECT
    min(id) FILTER (
        WHERE mode = 'ROUTINE' AND window_start <= $1 AND window_end >= $2 AND started_at >= $3) AS run,
    max(window_end) AS rated_until
FROM rating_run
WHERE NOT dry_run
