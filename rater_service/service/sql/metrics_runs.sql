-- When the last run of each mode that was no dry run had ended; no row for a mode without one.
SELECT mode, finished_at
FROM (VALUES ('ROUTINE'), ('BACKFILL')) AS known (mode)
CROSS JOIN LATERAL (
    SELECT finished_at
    FROM rating_run
    WHERE rating_run.mode = known.mode AND NOT dry_run
    ORDER BY finished_at DESC
    LIMIT 1
) AS last
