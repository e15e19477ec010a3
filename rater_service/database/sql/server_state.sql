-- What a server says of itself, and of this session. To be asked outside of a transaction.
SELECT
    pg_backend_pid() AS pid,
    pg_is_in_recovery() AS in_recovery,
    current_setting('transaction_read_only')::boolean AS read_only,
    current_setting('fsync')::boolean AS fsync,
    current_setting('full_page_writes')::boolean AS full_page_writes,
    -- The catalog of the extension Citus.
    to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AS has_citus
