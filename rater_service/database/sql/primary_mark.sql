-- Where a server stands: of which cluster it is, since when it runs, and up to where its log is on disk. Everything
-- that was committed by `at` is before `flushed`. A standby has no log of its own to tell of.
SELECT
    clock_timestamp() AS at,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END AS flushed,
    (SELECT system_identifier FROM pg_control_system()) AS system,
    pg_postmaster_start_time() AS started_at
