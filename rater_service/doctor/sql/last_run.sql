-- The number of the last routine run that went through and was no dry run.
SELECT id FROM rating_run WHERE mode = 'ROUTINE' AND NOT dry_run ORDER BY finished_at DESC LIMIT 1
