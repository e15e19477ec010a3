-- What stays known of events that were dropped.
CREATE TABLE pruned_event_range (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition_name    text NOT NULL,
    lower_id          uuid,
    upper_id          uuid,
    event_count       bigint NOT NULL,
    prompt_tokens     numeric(38, 0) NOT NULL,
    cached_tokens     numeric(38, 0) NOT NULL,
    completion_tokens numeric(38, 0) NOT NULL,
    first_event_time  timestamptz NOT NULL,
    last_event_time   timestamptz NOT NULL,
    window_start      timestamptz NOT NULL,
    window_end        timestamptz NOT NULL,
    accepted          text[] NOT NULL,
    export_path       text,
    export_sha256     text,
    pruned_by         text NOT NULL,
    pruned_at         timestamptz NOT NULL,
    CONSTRAINT pruned_event_range_no_empty_text CHECK (
        '' <> ALL (ARRAY[partition_name, export_path, export_sha256, pruned_by])),
    CONSTRAINT pruned_event_range_counts CHECK (
        event_count > 0 AND prompt_tokens >= 0 AND cached_tokens >= 0 AND completion_tokens >= 0),
    CONSTRAINT pruned_event_range_ids CHECK (lower_id < upper_id),
    CONSTRAINT pruned_event_range_times CHECK (
        first_event_time <= last_event_time
        AND window_start = date_trunc('hour', first_event_time, 'UTC')
        AND window_end = date_trunc('hour', last_event_time, 'UTC') + interval '1 hour'),
    CONSTRAINT pruned_event_range_export CHECK ((export_path IS NULL) = (export_sha256 IS NULL))
);

-- A producer's number stays given when its event is dropped: it is no gap, and known if it comes again.
CREATE TABLE pruned_number (
    range_id    bigint NOT NULL REFERENCES pruned_event_range,
    producer_id text NOT NULL,
    numbers     int8multirange NOT NULL,
    CONSTRAINT pruned_number_pkey PRIMARY KEY (producer_id, range_id),
    CONSTRAINT pruned_number_no_empty_text CHECK (producer_id <> ''),
    CONSTRAINT pruned_number_some CHECK (NOT isempty(numbers))
);

-- A partition takes the ids from lower_id up to, but not, upper_id (NULL: no bound).
CREATE VIEW event_partition AS
SELECT
    partition.relname::text AS name,
    substring(bound.text FROM $$FROM \('([0-9a-f-]+)'\)$$)::uuid AS lower_id,
    substring(bound.text FROM $$TO \('([0-9a-f-]+)'\)$$)::uuid AS upper_id,
    bound.text = 'DEFAULT' AS is_default
FROM pg_inherits
JOIN pg_class AS partition ON partition.oid = inhrelid
CROSS JOIN LATERAL pg_get_expr(partition.relpartbound, partition.oid) AS bound (text)
WHERE inhparent = 'billing_event'::regclass;

-- Of the default partition, to which no id belongs for good, single events are pruned: their time tells, unless there
-- is another partition for the id.
CREATE FUNCTION event_was_pruned(event_id uuid, ended timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT
        FROM pruned_event_range AS pruned
        WHERE ended BETWEEN pruned.first_event_time AND pruned.last_event_time
            AND (pruned.lower_id IS NULL OR event_id >= pruned.lower_id)
            AND (pruned.upper_id IS NULL OR event_id < pruned.upper_id)
            AND (pruned.upper_id IS NOT NULL OR NOT EXISTS (
                SELECT
                FROM event_partition AS other
                WHERE NOT other.is_default
                    AND (other.lower_id IS NULL OR event_id >= other.lower_id)
                    AND (other.upper_id IS NULL OR event_id < other.upper_id))))
$$;

-- Ids of a partition that was dropped belong to the default one. The function is volatile, so that it sees what was
-- committed while the statement waited for the drop.
CREATE FUNCTION billing_event_refuse_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF event_was_pruned(NEW.request_id, NEW.event_time) THEN
        RAISE 'events of this time were pruned' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'billing_event_not_pruned';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER billing_event_not_pruned BEFORE INSERT ON billing_event_default
FOR EACH ROW EXECUTE FUNCTION billing_event_refuse_pruned();
