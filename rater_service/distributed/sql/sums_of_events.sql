-- Makes the functions that make sums of events once more, by producer. The statements in them are run as they stand: a
-- function in plain SQL would become a part of the statement that calls it, and Citus could not plan that.
-- {of_events}, {of_ids}: what makes the sums of a stretch of time, and of some events.
DROP FUNCTION IF EXISTS hourly_usage_of_events(timestamptz, timestamptz);
DROP FUNCTION IF EXISTS hourly_usage_of_ids(uuid[]);

CREATE FUNCTION hourly_usage_of_events(since timestamptz, until timestamptz) RETURNS SETOF hourly_usage
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY {of_events};
END
$$;

CREATE FUNCTION hourly_usage_of_ids(ids uuid[]) RETURNS SETOF hourly_usage LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY {of_ids};
END
$$;
