-- A dump says which revisions its database had. Restored into another that was migrated, that would be wrong: two rows of
-- alembic_version are no version. What a database knows of its own schema stays, and what a restore says is left out.
CREATE FUNCTION keep_schema_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_known boolean;
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'alembic_version' THEN
            SELECT EXISTS (SELECT FROM alembic_version) INTO is_known;
        WHEN 'schema_revision' THEN
            SELECT EXISTS (SELECT FROM schema_revision WHERE revision = NEW.revision) INTO is_known;
    END CASE;
    RETURN CASE WHEN is_known THEN NULL ELSE NEW END;
END
$$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION keep_schema_version() SET search_path = %I, pg_temp', current_schema());
END
$$;

CREATE TRIGGER keep_schema_version BEFORE INSERT ON alembic_version
FOR EACH ROW EXECUTE FUNCTION keep_schema_version();

CREATE TRIGGER keep_schema_version BEFORE INSERT ON schema_revision
FOR EACH ROW EXECUTE FUNCTION keep_schema_version();
