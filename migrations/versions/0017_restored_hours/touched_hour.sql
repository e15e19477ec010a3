-- Restoring the sums notes their hours as touched in this hour. A dump of the same hour has these rows as well, and COPY
-- knows no ON CONFLICT.
CREATE FUNCTION keep_touched_hour() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM touched_hour
        WHERE window_start = NEW.window_start AND touched_in = NEW.touched_in
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION keep_touched_hour() SET search_path = %I, pg_temp', current_schema());
END
$$;

CREATE TRIGGER keep_touched_hour BEFORE INSERT ON touched_hour
FOR EACH ROW EXECUTE FUNCTION keep_touched_hour();
