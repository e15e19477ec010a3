-- Hourly sums of the events, kept by triggers in the transaction that stores the events. Everything that a run decides
-- by is in the key, so a run reads sums and no events. Sums are taken of the events that a statement really stored,
-- changed or deleted, whoever sent it: also a human who corrects something.
--
-- In braces stands hourly_usage_sums.sql over the rows named there: the sums are defined once.

-- A row of the running hour is rewritten by every batch that adds to it; with room in its page, and no index on what
-- changes, that leaves the index alone. 38 digits hold 2^63 events of 2^53 tokens.
CREATE TABLE hourly_usage (
    window_start           timestamptz NOT NULL,
    auth_id                text,
    resource_id            text,
    model_id               text,
    base_model             text,
    usage_found            boolean NOT NULL,
    model_untrusted        boolean NOT NULL,
    completed              boolean NOT NULL,
    event_count            bigint NOT NULL,
    prompt_tokens          numeric(38, 0) NOT NULL,
    cached_tokens          numeric(38, 0) NOT NULL,
    completion_tokens      numeric(38, 0) NOT NULL,
    billable_prompt_tokens numeric(38, 0) NOT NULL,
    excess_cached_events   bigint NOT NULL,
    excess_cached_tokens   numeric(38, 0) NOT NULL,
    first_stored_at        timestamptz NOT NULL,
    last_stored_at         timestamptz NOT NULL,
    CONSTRAINT hourly_usage_key UNIQUE NULLS NOT DISTINCT (
        window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed),
    CONSTRAINT hourly_usage_no_empty_text CHECK (
        '' <> ALL (ARRAY[auth_id, resource_id, model_id, base_model])),
    CONSTRAINT hourly_usage_whole_hour CHECK (window_start = date_trunc('hour', window_start, 'UTC')),
    CONSTRAINT hourly_usage_counts CHECK (
        event_count >= 0 AND prompt_tokens >= 0 AND cached_tokens >= 0 AND completion_tokens >= 0
        AND billable_prompt_tokens BETWEEN 0 AND prompt_tokens
        AND excess_cached_events BETWEEN 0 AND event_count AND excess_cached_tokens >= excess_cached_events)
) WITH (fillfactor = 50);

-- Plain SQL, so that the planner sees through it and reads the window from the index of times.
CREATE FUNCTION hourly_usage_of_events(since timestamptz, until timestamptz) RETURNS SETOF hourly_usage
LANGUAGE sql STABLE AS $$
{sums of billing_event WHERE event_time >= since AND event_time < until}
$$;

-- In the order of the key: batches that share keys wait for each other but never deadlock.
CREATE FUNCTION hourly_usage_add() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hourly_usage AS known
    {sums of added}
    ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
    ON CONFLICT ON CONSTRAINT hourly_usage_key DO UPDATE
    SET event_count = known.event_count + EXCLUDED.event_count,
        prompt_tokens = known.prompt_tokens + EXCLUDED.prompt_tokens,
        cached_tokens = known.cached_tokens + EXCLUDED.cached_tokens,
        completion_tokens = known.completion_tokens + EXCLUDED.completion_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens + EXCLUDED.billable_prompt_tokens,
        excess_cached_events = known.excess_cached_events + EXCLUDED.excess_cached_events,
        excess_cached_tokens = known.excess_cached_tokens + EXCLUDED.excess_cached_tokens,
        first_stored_at = least(known.first_stored_at, EXCLUDED.first_stored_at),
        last_stored_at = greatest(known.last_stored_at, EXCLUDED.last_stored_at);
    RETURN NULL;
END
$$;

-- Phoebe itself takes no event away through billing_event: what it prunes stays in the sums.
CREATE FUNCTION hourly_usage_subtract() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hourly_usage AS known
    SET event_count = known.event_count - gone.event_count,
        prompt_tokens = known.prompt_tokens - gone.prompt_tokens,
        cached_tokens = known.cached_tokens - gone.cached_tokens,
        completion_tokens = known.completion_tokens - gone.completion_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens - gone.billable_prompt_tokens,
        excess_cached_events = known.excess_cached_events - gone.excess_cached_events,
        excess_cached_tokens = known.excess_cached_tokens - gone.excess_cached_tokens
    FROM ({sums of removed}) AS gone
    WHERE known.window_start = gone.window_start
        AND known.auth_id IS NOT DISTINCT FROM gone.auth_id
        AND known.resource_id IS NOT DISTINCT FROM gone.resource_id
        AND known.model_id IS NOT DISTINCT FROM gone.model_id
        AND known.base_model IS NOT DISTINCT FROM gone.base_model
        AND known.usage_found = gone.usage_found
        AND known.model_untrusted = gone.model_untrusted
        AND known.completed = gone.completed;
    DELETE FROM hourly_usage
    WHERE event_count = 0
        AND window_start IN (SELECT date_trunc('hour', event_time, 'UTC') FROM removed);
    RETURN NULL;
END
$$;

CREATE FUNCTION hourly_usage_clear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM hourly_usage;
    RETURN NULL;
END
$$;

-- Of one statement's triggers the one whose name sorts first goes first: sums never fall below zero.
CREATE TRIGGER hourly_usage_insert AFTER INSERT ON billing_event REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION hourly_usage_add();

CREATE TRIGGER hourly_usage_update_1 AFTER UPDATE ON billing_event REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION hourly_usage_add();

CREATE TRIGGER hourly_usage_update_2 AFTER UPDATE ON billing_event REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION hourly_usage_subtract();

CREATE TRIGGER hourly_usage_delete AFTER DELETE ON billing_event REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION hourly_usage_subtract();

CREATE TRIGGER hourly_usage_truncate AFTER TRUNCATE ON billing_event
FOR EACH STATEMENT EXECUTE FUNCTION hourly_usage_clear();
