-- slot: the sums of one key are what its rows in all slots add up to. While the triggers of billing_event add, and raters
-- that know of no slot run beside others, there is slot 0 alone: the key does not have the column yet.
-- In braces stands hourly_usage_sums.sql over the rows named there.
ALTER TABLE hourly_usage ADD COLUMN slot smallint NOT NULL DEFAULT 0;

-- Plain SQL, so that the planner sees through it and reads the window from the index of times.
CREATE OR REPLACE FUNCTION hourly_usage_of_events(since timestamptz, until timestamptz) RETURNS SETOF hourly_usage
LANGUAGE sql STABLE AS $$
{sums of billing_event WHERE event_time >= since AND event_time < until}
$$;

-- The sums of some events alone.
CREATE FUNCTION hourly_usage_of_ids(ids uuid[]) RETURNS SETOF hourly_usage
LANGUAGE sql STABLE AS $$
{sums of billing_event WHERE request_id = ANY (ids)}
$$;

-- The slot to which the transaction that calls it adds sums.
CREATE FUNCTION hourly_usage_slot() RETURNS smallint LANGUAGE sql VOLATILE AS $$
    SELECT 0::smallint
$$;
