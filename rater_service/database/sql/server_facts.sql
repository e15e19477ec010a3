-- What an operator should know of the database at the start.
-- The actual version is that of the library on the server's machine that orders text; NULL: no library does.
SELECT
    current_database() AS name,
    current_user AS role,
    current_setting('server_version') AS version,
    pg_encoding_to_char(encoding) AS encoding,
    datcollversion AS collation_version,
    pg_database_collation_actual_version(oid) AS collation_version_now
FROM pg_database
WHERE datname = current_database()
