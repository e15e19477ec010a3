-- How current the answers of a server are.
-- :flushed: where the log of its primary ended a moment before; NULL: nobody could say.
--
-- A standby replays the log in its order, so it has what was committed before whatever it replayed last. While nothing
-- was replayed since it was started, its last checkpoint tells: all before that is on its disk.
SELECT
    pg_is_in_recovery() AS is_standby,
    clock_timestamp() AS now,
    coalesce(pg_last_wal_replay_lsn() >= :flushed::text::pg_lsn, false) AS has_all,
    greatest(pg_last_xact_replay_timestamp(), (SELECT checkpoint_time FROM pg_control_checkpoint())) AS replayed_at,
    (SELECT system_identifier FROM pg_control_system()) AS system,
    pg_postmaster_start_time() AS started_at
