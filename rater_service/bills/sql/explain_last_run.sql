-- The last run that rated an hour: what it found right it left as an earlier run had written it.
-- :hour: the hour.
SELECT id, mode, requested_by, started_at, finished_at, knowledge_at
FROM rating_run
WHERE id = (
    -- Not max(id), which would be looked for down the ids, through all runs that came later.
    SELECT (array_agg(id ORDER BY id DESC))[1]
    FROM rating_run
    WHERE NOT dry_run AND tstzrange(window_start, window_end) @> :hour::timestamptz)
