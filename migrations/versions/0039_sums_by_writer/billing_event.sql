-- Raters write to the partitions and add the sums. What comes through stored_event itself, or the view billing_event, would be
-- in no sum: an earlier rater, which leaves that to the triggers, and somebody's INSERT. Neither is let in. The class of the error, operator_intervention,
-- makes an earlier rater keep its senders waiting; it takes those of wrong data for a fault of the event.
DROP TRIGGER hourly_usage_insert ON stored_event;
DROP TRIGGER hourly_usage_update_1 ON stored_event;
DROP TRIGGER hourly_usage_update_2 ON stored_event;
DROP TRIGGER hourly_usage_delete ON stored_event;
DROP TRIGGER hourly_usage_truncate ON stored_event;
DROP FUNCTION hourly_usage_add();
DROP FUNCTION hourly_usage_subtract();
DROP FUNCTION hourly_usage_clear();

CREATE FUNCTION billing_event_refuse_unsummed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'events that are inserted into billing_event are in no hourly sum, so they are refused'
        USING ERRCODE = 'operator_intervention',
            HINT = 'A rater: this is an earlier version of Phoebe, start the later one that made the schema. By hand: '
                   'insert into the partition that the view event_partition names for the id, then run `phoebe sums rebuild`.';
END
$$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION billing_event_refuse_unsummed() SET search_path = %I, pg_temp', current_schema());
END
$$;

CREATE TRIGGER billing_event_unsummed BEFORE INSERT ON stored_event
FOR EACH STATEMENT EXECUTE FUNCTION billing_event_refuse_unsummed();
