-- As in 0020_other_models, of events whose customer, resource and model may be in a pattern. In braces stands
-- hourly_usage_sums.sql over the rows named there, whole. hourly_usage_of_events() reads billing_event, by its name.

-- In the order of the key: batches that share keys wait for each other but never deadlock.
CREATE OR REPLACE FUNCTION hourly_usage_add() RETURNS trigger LANGUAGE plpgsql AS $$
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
        last_stored_at = greatest(known.last_stored_at, EXCLUDED.last_stored_at),
        partial_usage_events = known.partial_usage_events + EXCLUDED.partial_usage_events,
        unbilled_events = known.unbilled_events + EXCLUDED.unbilled_events,
        unbilled_bytes = known.unbilled_bytes + EXCLUDED.unbilled_bytes,
        echoed_events = known.echoed_events + EXCLUDED.echoed_events,
        echoed_tokens = known.echoed_tokens + EXCLUDED.echoed_tokens;
    RETURN NULL;
END
$$;

-- Phoebe itself takes no event away through billing_event: what it prunes stays in the sums.
CREATE OR REPLACE FUNCTION hourly_usage_subtract() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hourly_usage AS known
    SET event_count = known.event_count - gone.event_count,
        prompt_tokens = known.prompt_tokens - gone.prompt_tokens,
        cached_tokens = known.cached_tokens - gone.cached_tokens,
        completion_tokens = known.completion_tokens - gone.completion_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens - gone.billable_prompt_tokens,
        excess_cached_events = known.excess_cached_events - gone.excess_cached_events,
        excess_cached_tokens = known.excess_cached_tokens - gone.excess_cached_tokens,
        partial_usage_events = known.partial_usage_events - gone.partial_usage_events,
        unbilled_events = known.unbilled_events - gone.unbilled_events,
        unbilled_bytes = known.unbilled_bytes - gone.unbilled_bytes,
        echoed_events = known.echoed_events - gone.echoed_events,
        echoed_tokens = known.echoed_tokens - gone.echoed_tokens
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

-- As 0012_restores does: a function that is made anew has to say its path again.
DO $$
DECLARE
    called regprocedure;
BEGIN
    FOREACH called IN ARRAY ARRAY['hourly_usage_add()', 'hourly_usage_subtract()']::regprocedure[]
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', called, current_schema());
    END LOOP;
END
$$;
