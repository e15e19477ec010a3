-- What this role may beyond the tables. can_make: tables in the schema of Phoebe's; everybody_connects: the database
-- lets every role in.
SELECT
    rolname AS name, rolsuper AS superuser, rolcreaterole AS makes_roles, rolcreatedb AS makes_databases,
    rolbypassrls AS passes_row_security, rolreplication AS replicates, rolconnlimit AS sessions_max,
    has_database_privilege(current_database(), 'TEMPORARY') AS temporary,
    has_schema_privilege(relnamespace, 'CREATE') AS can_make,
    has_database_privilege('public', current_database(), 'CONNECT') AS everybody_connects
FROM pg_roles, pg_class
WHERE rolname = current_user AND pg_class.oid = to_regclass('billing_event')
