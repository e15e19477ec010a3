-- The trigger is there for what is restored. Hours that are noted while sums are written have an ON CONFLICT of their own,
-- and every batch has some: they need not look twice.
CREATE OR REPLACE TRIGGER keep_touched_hour BEFORE INSERT ON touched_hour
FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION keep_touched_hour();
