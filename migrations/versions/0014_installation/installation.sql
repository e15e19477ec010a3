-- Which installation this database is: one row, made with the database and kept by dumps, restores and moves. Spools
-- remember the id, and give their events to no other. since, set_by: when it became this, and who said so; NULL: it was
-- made here.
CREATE TABLE installation (
    only_row boolean PRIMARY KEY DEFAULT true,
    id       uuid NOT NULL DEFAULT gen_random_uuid(),
    since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    set_by   text,
    CONSTRAINT installation_only_row CHECK (only_row),
    CONSTRAINT installation_no_empty_text CHECK (set_by <> '')
);

-- A restore of data alone into a database that was just migrated brings the id to keep. It sets no search_path.
CREATE FUNCTION installation_give_way() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DELETE FROM %I.installation', TG_TABLE_SCHEMA);
    RETURN NEW;
END
$$;

CREATE TRIGGER installation_give_way BEFORE INSERT ON installation
FOR EACH ROW EXECUTE FUNCTION installation_give_way();

INSERT INTO installation DEFAULT VALUES;
