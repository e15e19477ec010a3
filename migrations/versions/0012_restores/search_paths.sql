-- pg_restore sets no search_path, and triggers run with that of whoever sets them off. A function that is made anew has
-- to say its path again; a test finds those that do not. Not for hourly_usage_of_events: the planner could not see
-- through it, and no trigger calls it.
DO $$
DECLARE
    called regprocedure;
BEGIN
    FOR called IN
        SELECT DISTINCT tgfoid::regprocedure
        FROM pg_trigger
        JOIN pg_class ON pg_class.oid = tgrelid
        WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', called, current_schema());
    END LOOP;
END
$$;
