-- Finds the run that has done what is about to be done, if one has.
-- :window_start, :window_end: the window; :due: when the run was due.
SELECT min(id) AS run
FROM rating_run
WHERE NOT dry_run
    AND mode = 'ROUTINE'
    AND window_start <= :window_start AND window_end >= :window_end
    AND started_at >= :due
