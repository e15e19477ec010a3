-- Finds the run that has done what is about to be done, if one has, and until when all hours were rated by then.
-- :window_start, :window_end: the window; :due: when the run was due.
SELECT
    min(id) FILTER (
        WHERE mode = 'ROUTINE'
            AND window_start <= :window_start AND window_end >= :window_end
            AND started_at >= :due) AS run,
    max(window_end) AS rated_until
FROM rating_run
WHERE NOT dry_run
