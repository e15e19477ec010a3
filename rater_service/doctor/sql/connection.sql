-- Whether this session is encrypted, and where its server is (server_host NULL: on this machine, at a socket).
SELECT host(inet_server_addr()) AS server_host, coalesce(ssl, false) AS encrypted, version AS tls_version
FROM (VALUES (pg_backend_pid())) AS own (pid)
LEFT JOIN pg_stat_ssl USING (pid)
