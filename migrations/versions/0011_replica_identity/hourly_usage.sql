-- Every other table has a primary key. The key of the sums has columns that may be NULL, which PostgreSQL takes for no
-- identity. The old row is written to the log only where wal_level is `logical`.
ALTER TABLE hourly_usage REPLICA IDENTITY FULL;
