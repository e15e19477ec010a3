-- What the last run over an hour saw there: how many events with how many prompt and completion tokens. Of an hour in
-- which it saw none there is no row.
CREATE TABLE rated_hour (
    window_start timestamptz PRIMARY KEY,
    run          bigint NOT NULL,
    knowledge_at timestamptz NOT NULL,
    event_count  bigint NOT NULL,
    tokens       numeric NOT NULL,
    CONSTRAINT rated_hour_whole_hour CHECK (window_start = date_trunc('hour', window_start, 'UTC')),
    CONSTRAINT rated_hour_counts CHECK (event_count > 0 AND tokens >= 0)
);

-- The hours whose sums may have changed since their last run, each with the hours (of the database's clock) in which
-- they were changed. Nobody who looks for late usage has to look at other hours.
--
-- A batch finds its row there nearly always, and then neither writes nor waits. That is why a run can't tell by the
-- row whether it has seen the batch, and takes away only rows so old that every transaction of theirs has ended.
-- Whether usage is late is decided by the counts of rated_hour, which are exact.
CREATE TABLE touched_hour (
    window_start timestamptz NOT NULL,
    touched_in   timestamptz NOT NULL,
    PRIMARY KEY (window_start, touched_in)
);

CREATE FUNCTION touch_hours() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    this_hour timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
BEGIN
    INSERT INTO touched_hour (window_start, touched_in)
    SELECT DISTINCT window_start, this_hour
    FROM touched
    ORDER BY window_start
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER touched_hour_insert AFTER INSERT ON hourly_usage REFERENCING NEW TABLE AS touched
FOR EACH STATEMENT EXECUTE FUNCTION touch_hours();

CREATE TRIGGER touched_hour_update AFTER UPDATE ON hourly_usage REFERENCING NEW TABLE AS touched
FOR EACH STATEMENT EXECUTE FUNCTION touch_hours();

CREATE TRIGGER touched_hour_delete AFTER DELETE ON hourly_usage REFERENCING OLD TABLE AS touched
FOR EACH STATEMENT EXECUTE FUNCTION touch_hours();
