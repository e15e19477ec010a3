-- Sums of several slots may stand under one key now. Who adds up what a rater stored notes the hours as well.
DROP TRIGGER touched_hour_insert ON hourly_usage;
DROP TRIGGER touched_hour_update ON hourly_usage;
DROP TRIGGER touched_hour_delete ON hourly_usage;
DROP FUNCTION touch_hours();

ALTER TABLE hourly_usage DROP CONSTRAINT hourly_usage_key;
ALTER TABLE hourly_usage ADD CONSTRAINT hourly_usage_key UNIQUE USING INDEX hourly_usage_key_with_slot;
ALTER TABLE hourly_usage ADD CONSTRAINT hourly_usage_slot CHECK (slot BETWEEN 0 AND 63) NOT VALID;

-- A transaction has its slot for itself until it ends: it waits for nobody else's rows, and nobody for its own. It takes the
-- lowest that is free, so that one writer adds to slot 0 alone. If all are taken, it waits for one of them: transactions of
-- different sessions for different ones. Whoever changes rows of a slot has its lock, or waits for who has.
CREATE OR REPLACE FUNCTION hourly_usage_slot() RETURNS smallint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    FOR slot IN 0..63 LOOP
        IF pg_try_advisory_xact_lock(7463311, slot) THEN
            RETURN slot;
        END IF;
    END LOOP;
    PERFORM pg_advisory_xact_lock(7463311, pg_backend_pid() % 64);
    RETURN pg_backend_pid() % 64;
END
$$;
