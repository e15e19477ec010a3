-- One page of the runs, the last one first.
-- :before: those with a lower number (NULL: from the last), :dry_runs: whether also those that changed nothing because
-- they were not to; :moment: only those over its hour (NULL: any); :limit: how many (NULL: all).
SELECT {run}
FROM rating_run
WHERE (:before::bigint IS NULL OR id < :before)
    AND (:dry_runs OR NOT dry_run)
    AND (:moment::timestamptz IS NULL OR tstzrange(window_start, window_end) @> :moment)
ORDER BY id DESC
LIMIT :limit
