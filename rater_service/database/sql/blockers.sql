-- Who keeps a session waiting for a lock, those that have been at it the longest first. Of sessions of other roles the
-- server tells only the application unless this one may read all (pg_read_all_stats). A pid of 0 is a prepared
-- transaction, which has no session.
-- :pid: of the session that waits.
SELECT
    blocker.pid,
    nullif(application_name, '') AS application,
    usename AS role,
    state,
    extract(epoch FROM clock_timestamp() - query_start)::float8 AS query_age_s,
    extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_age_s
FROM (SELECT DISTINCT unnest(pg_blocking_pids(:pid))) AS blocker (pid)
LEFT JOIN pg_stat_activity AS session ON session.pid = blocker.pid
ORDER BY xact_start NULLS LAST, blocker.pid
