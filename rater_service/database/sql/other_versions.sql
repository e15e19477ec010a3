-- Services and commands of other versions that have sessions with this database, by what they call themselves. Every role
-- is told the application of every session. One that only migrates waits for others itself.
-- :own: how this version calls its sessions.
SELECT application_name AS application, host(client_addr) AS host, count(*) AS sessions
FROM pg_stat_activity
WHERE datname = current_database()
    AND (application_name = 'phoebe' OR application_name LIKE 'phoebe %')
    AND application_name NOT IN (:own, 'phoebe migrate')
GROUP BY 1, 2
ORDER BY 1, 2
