-- Distributes events, their sums, and the hours that were touched, by the producer: what a batch writes is on one node, and so
-- is what is compared with it. What events have in common is on each node. All else stays with the coordinator.
--
-- Citus has no triggers on such tables. A key has the producer in it. Sums that were made before are of all producers together
-- and have a name of none; then each producer's stand in slot 0.
-- Citus makes functions on all nodes, too, and wants one connection with each for that.
SET LOCAL citus.multi_shard_modify_mode = 'sequential';
DROP TRIGGER billing_event_unsummed ON stored_event;
DROP TRIGGER billing_event_not_pruned ON billing_event_default;
DROP TRIGGER event_pattern_append_only ON event_pattern;

ALTER TABLE stored_event
    DROP CONSTRAINT billing_event_pkey,
    ADD CONSTRAINT billing_event_pkey PRIMARY KEY (request_id, producer_id);
SELECT create_distributed_table('stored_event', 'producer_id');
SELECT create_reference_table('event_pattern');

DROP FUNCTION hourly_usage_of_events(timestamptz, timestamptz);
DROP FUNCTION hourly_usage_of_ids(uuid[]);
-- Empty by now. Citus distributes no table from which another inherits.
DROP TABLE IF EXISTS hourly_usage_cold;
ALTER TABLE hourly_usage
    ADD COLUMN producer_id text NOT NULL DEFAULT '(all)',
    DROP CONSTRAINT hourly_usage_key;
ALTER TABLE hourly_usage
    ALTER COLUMN producer_id DROP DEFAULT,
    ADD CONSTRAINT hourly_usage_key UNIQUE NULLS NOT DISTINCT (
        window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed, slot,
        producer_id);
SELECT create_distributed_table('hourly_usage', 'producer_id', colocate_with => 'stored_event');

ALTER TABLE touched_hour
    ADD COLUMN producer_id text NOT NULL DEFAULT '(all)',
    DROP CONSTRAINT touched_hour_pkey;
ALTER TABLE touched_hour
    ALTER COLUMN producer_id DROP DEFAULT,
    ADD CONSTRAINT touched_hour_pkey PRIMARY KEY (window_start, touched_in, slot, producer_id);
SELECT create_distributed_table('touched_hour', 'producer_id', colocate_with => 'stored_event');

-- Batches of one producer wait for each other, and those of others are on rows of their own anyway.
CREATE OR REPLACE FUNCTION hourly_usage_slot() RETURNS smallint LANGUAGE sql VOLATILE AS $$
    SELECT 0::smallint
$$;

-- See audit/lowest_number.sql; without what was pruned. A producer's events are all on one node, which Citus sees in each of
-- these statements, and not in a recursive one.
CREATE FUNCTION lowest_number_stored(of_producer text, moment timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    highest bigint;
    ended timestamptz;
    earlier bigint := 0;
    step bigint;
BEGIN
    SELECT producer_seq, event_time INTO highest, ended
    FROM stored_event
    WHERE producer_id = of_producer AND producer_seq IS NOT NULL
    ORDER BY producer_seq >> 8 DESC, producer_seq DESC, event_time DESC
    LIMIT 1;
    IF highest IS NULL OR ended < moment THEN
        RETURN NULL;
    END IF;
    step := 1::bigint << (length(ltrim(highest::bit(64)::text, '0')) - 1);
    WHILE step > 0 LOOP
        SELECT event_time INTO ended
        FROM stored_event
        WHERE producer_id = of_producer AND producer_seq >= earlier + step AND producer_seq >> 8 >= (earlier + step) >> 8
        ORDER BY producer_seq >> 8, producer_seq, event_time
        LIMIT 1;
        IF FOUND AND ended < moment THEN
            earlier := earlier + step;
        END IF;
        step := step / 2;
    END LOOP;
    RETURN (
        SELECT producer_seq
        FROM stored_event
        WHERE producer_id = of_producer AND producer_seq > earlier AND producer_seq >> 8 >= earlier >> 8
        ORDER BY producer_seq >> 8, producer_seq
        LIMIT 1);
END
$$;
