-- Roles of other sessions that call themselves Phoebe's and may do more than a service needs.
SELECT DISTINCT rolname AS name, rolsuper AS superuser
FROM pg_stat_activity
JOIN pg_roles ON rolname = usename
WHERE datname = current_database() AND (application_name = 'phoebe' OR application_name LIKE 'phoebe %')
    AND rolname NOT IN (current_user, session_user)
    AND (rolsuper OR pg_has_role(
        rolname, (SELECT relowner FROM pg_class WHERE oid = to_regclass('billing_event')), 'MEMBER'))
ORDER BY 1
