-- What the rollups of a day of UTC add up to, by customer, resource and model, kept by triggers in the transaction that
-- changes the rollups. The reader is the console. In braces stands rated_day_sums.sql over the rows named there.
--
-- No run may be between what is summed below and the triggers.
LOCK TABLE rated_usage IN SHARE ROW EXCLUSIVE MODE;

-- 40 digits hold 24 rollups of the largest cost there can be.
CREATE TABLE rated_day (
    day                    timestamptz NOT NULL,
    auth_id                text NOT NULL,
    resource_id            text NOT NULL,
    model_id               text NOT NULL,
    rollups                bigint NOT NULL,
    events                 numeric(38, 0) NOT NULL,
    prompt_tokens          numeric(38, 0) NOT NULL,
    cached_tokens          numeric(38, 0) NOT NULL,
    billable_prompt_tokens numeric(38, 0) NOT NULL,
    completion_tokens      numeric(38, 0) NOT NULL,
    cost                   numeric(42, 9) NOT NULL,
    CONSTRAINT rated_day_pkey PRIMARY KEY (day, auth_id, resource_id, model_id),
    CONSTRAINT rated_day_whole_day CHECK (day = date_trunc('day', day, 'UTC')),
    CONSTRAINT rated_day_no_empty_text CHECK ('' <> ALL (ARRAY[auth_id, resource_id, model_id])),
    CONSTRAINT rated_day_counts CHECK (
        rollups >= 0 AND events >= 0 AND prompt_tokens >= 0 AND cached_tokens >= 0 AND completion_tokens >= 0
        AND billable_prompt_tokens BETWEEN 0 AND prompt_tokens AND cost >= 0)
) WITH (fillfactor = 70);

INSERT INTO rated_day (
    day, auth_id, resource_id, model_id, rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens,
    completion_tokens, cost)
{sums of rated_usage};

CREATE FUNCTION rated_day_add() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rated_day AS known (
        day, auth_id, resource_id, model_id, rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens,
        completion_tokens, cost)
    {sums of added}
    ON CONFLICT ON CONSTRAINT rated_day_pkey DO UPDATE
    SET rollups = known.rollups + EXCLUDED.rollups,
        events = known.events + EXCLUDED.events,
        prompt_tokens = known.prompt_tokens + EXCLUDED.prompt_tokens,
        cached_tokens = known.cached_tokens + EXCLUDED.cached_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens + EXCLUDED.billable_prompt_tokens,
        completion_tokens = known.completion_tokens + EXCLUDED.completion_tokens,
        cost = known.cost + EXCLUDED.cost;
    RETURN NULL;
END
$$;

CREATE FUNCTION rated_day_subtract() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rated_day AS known
    SET rollups = known.rollups - gone.rollups,
        events = known.events - gone.events,
        prompt_tokens = known.prompt_tokens - gone.prompt_tokens,
        cached_tokens = known.cached_tokens - gone.cached_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens - gone.billable_prompt_tokens,
        completion_tokens = known.completion_tokens - gone.completion_tokens,
        cost = known.cost - gone.cost
    FROM ({sums of removed}) AS gone
    WHERE (known.day, known.auth_id, known.resource_id, known.model_id)
        = (gone.day, gone.auth_id, gone.resource_id, gone.model_id);
    DELETE FROM rated_day
    WHERE rollups = 0
        AND day IN (SELECT DISTINCT date_trunc('day', window_start, 'UTC') FROM removed);
    RETURN NULL;
END
$$;

CREATE FUNCTION rated_day_clear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM rated_day;
    RETURN NULL;
END
$$;

-- Whoever restores data into a migrated database brings these sums along, and the triggers make them as well: only what
-- the triggers make is taken. Where sums are made again on purpose, the session says so.
CREATE FUNCTION rated_day_leave_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN NULL;
END
$$;

CREATE TRIGGER rated_day_leave_out BEFORE INSERT ON rated_day
FOR EACH ROW
WHEN (pg_trigger_depth() = 0 AND current_setting('phoebe.makes_day_sums', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION rated_day_leave_out();

CREATE TRIGGER rated_day_insert AFTER INSERT ON rated_usage REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION rated_day_add();

-- Of one statement's triggers the one whose name sorts first goes first: sums never fall below zero.
CREATE TRIGGER rated_day_update_1 AFTER UPDATE ON rated_usage REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION rated_day_add();

CREATE TRIGGER rated_day_update_2 AFTER UPDATE ON rated_usage REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION rated_day_subtract();

CREATE TRIGGER rated_day_delete AFTER DELETE ON rated_usage REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION rated_day_subtract();

CREATE TRIGGER rated_day_truncate AFTER TRUNCATE ON rated_usage
FOR EACH STATEMENT EXECUTE FUNCTION rated_day_clear();

-- As 0012_restores does: whoever restores data has no search path.
DO $$
DECLARE
    called regprocedure;
BEGIN
    FOREACH called IN ARRAY ARRAY[
        'rated_day_add()', 'rated_day_subtract()', 'rated_day_clear()', 'rated_day_leave_out()']::regprocedure[]
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', called, current_schema());
    END LOOP;
END
$$;
