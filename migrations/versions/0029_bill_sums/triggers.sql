-- Keeps sums that are coarser than those of rated_day, in the transaction that changes these. The reader is the console. In
-- braces stand the table, its unit of time and its names, and sums.sql over the rows named there.
INSERT INTO {table} (
    {key}, rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost)
{sums of rated_day};

CREATE FUNCTION {table}_add() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {table} AS known (
        {key}, rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost)
    {sums of added}
    ON CONFLICT ON CONSTRAINT {table}_pkey DO UPDATE
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

-- No update changes the key of a sum by the day.
CREATE FUNCTION {table}_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE {table} AS known
    SET rollups = known.rollups + delta.rollups,
        events = known.events + delta.events,
        prompt_tokens = known.prompt_tokens + delta.prompt_tokens,
        cached_tokens = known.cached_tokens + delta.cached_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens + delta.billable_prompt_tokens,
        completion_tokens = known.completion_tokens + delta.completion_tokens,
        cost = known.cost + delta.cost
    FROM (
        -- Not a join of both: the planner, which takes them for tiny, would compare every row with every row.
        SELECT
            {key},
            sum(rollups) AS rollups,
            sum(events) AS events,
            sum(prompt_tokens) AS prompt_tokens,
            sum(cached_tokens) AS cached_tokens,
            sum(billable_prompt_tokens) AS billable_prompt_tokens,
            sum(completion_tokens) AS completion_tokens,
            sum(cost) AS cost
        FROM (
            {sums of added}
            UNION ALL
            SELECT
                {key}, -rollups, -events, -prompt_tokens, -cached_tokens, -billable_prompt_tokens,
                -completion_tokens, -cost
            FROM ({sums of removed}) AS gone
        ) AS each_side
        GROUP BY {key}
    ) AS delta
    WHERE {same key};
    RETURN NULL;
END
$$;

CREATE FUNCTION {table}_subtract() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE {table} AS known
    SET rollups = known.rollups - delta.rollups,
        events = known.events - delta.events,
        prompt_tokens = known.prompt_tokens - delta.prompt_tokens,
        cached_tokens = known.cached_tokens - delta.cached_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens - delta.billable_prompt_tokens,
        completion_tokens = known.completion_tokens - delta.completion_tokens,
        cost = known.cost - delta.cost
    FROM ({sums of removed}) AS delta
    WHERE {same key};
    DELETE FROM {table}
    WHERE rollups = 0
        AND {unit} IN (SELECT DISTINCT {moment} FROM removed);
    RETURN NULL;
END
$$;

CREATE FUNCTION {table}_clear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {table};
    RETURN NULL;
END
$$;

-- As rated_day_leave_out: what a dump brings along is left out, because triggers make it from the rollups.
CREATE TRIGGER {table}_leave_out BEFORE INSERT ON {table}
FOR EACH ROW
WHEN (pg_trigger_depth() = 0 AND current_setting('phoebe.makes_day_sums', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION rated_day_leave_out();

-- Where sums by the day are made again, these are compared with them afterwards: wrong ones could fall below zero here.
CREATE TRIGGER {table}_insert AFTER INSERT ON rated_day REFERENCING NEW TABLE AS added
FOR EACH STATEMENT WHEN (current_setting('phoebe.makes_day_sums', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION {table}_add();

CREATE TRIGGER {table}_update AFTER UPDATE ON rated_day REFERENCING NEW TABLE AS added OLD TABLE AS removed
FOR EACH STATEMENT WHEN (current_setting('phoebe.makes_day_sums', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION {table}_change();

CREATE TRIGGER {table}_delete AFTER DELETE ON rated_day REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT WHEN (current_setting('phoebe.makes_day_sums', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION {table}_subtract();

CREATE TRIGGER {table}_truncate AFTER TRUNCATE ON rated_day
FOR EACH STATEMENT EXECUTE FUNCTION {table}_clear();

DO $$
DECLARE
    called regprocedure;
BEGIN
    FOREACH called IN ARRAY ARRAY[
        '{table}_add()', '{table}_change()', '{table}_subtract()', '{table}_clear()']::regprocedure[]
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', called, current_schema());
    END LOOP;
END
$$;
