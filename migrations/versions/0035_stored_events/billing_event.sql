-- The events, whole: what they have in common with others stands beside what is their own. Who reads one column of a pattern
-- pays for finding it; who reads none pays nothing.
CREATE VIEW billing_event AS
SELECT
    event.request_id, event.client_request_id, event.producer_id, event.producer_seq,
    coalesce(event.auth_id, pattern.auth_id) AS auth_id,
    event.user_id,
    coalesce(event.group_id, pattern.group_id) AS group_id,
    coalesce(event.resource_id, pattern.resource_id) AS resource_id,
    coalesce(event.resource_type, pattern.resource_type) AS resource_type,
    coalesce(event.base_model, pattern.base_model) AS base_model,
    coalesce(event.model_id, pattern.model_id) AS model_id,
    coalesce(event.requested_model, pattern.requested_model) AS requested_model,
    coalesce(event.api, pattern.api) AS api,
    event.prompt_tokens, event.cached_tokens, event.completion_tokens, event.reasoning_tokens, event.usage_found,
    coalesce(event.usage_raw, event_usage(pattern.usage_form, event.usage_numbers)) AS usage_raw,
    coalesce(event.outcome, pattern.outcome) AS outcome,
    event.status_code,
    coalesce(event.finish_reason, pattern.finish_reason) AS finish_reason,
    event.streamed, event.event_time, event.start_time, event.first_byte_time, event.stored_at,
    event.cache_write_tokens, event.prompt_audio_tokens, event.completion_audio_tokens, event.model_untrusted,
    event.answer_bytes, event.part_of, event.part_count, event.usage_partial, event.model_echoed,
    event.summed_as_other, event.trace_id
FROM stored_event AS event
LEFT JOIN event_pattern AS pattern ON pattern.number = event.pattern;

ALTER VIEW billing_event
    ALTER COLUMN part_count SET DEFAULT 0,
    ALTER COLUMN usage_partial SET DEFAULT false,
    ALTER COLUMN model_echoed SET DEFAULT false,
    ALTER COLUMN summed_as_other SET DEFAULT false;

-- Somebody's correction, or an earlier version of the rater: such an event has all in its own columns from then on.
CREATE FUNCTION billing_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_OP
        WHEN 'INSERT' THEN
            INSERT INTO stored_event (
                request_id, client_request_id, producer_id, producer_seq, auth_id, user_id, group_id,
                resource_id, resource_type, base_model, model_id, requested_model, api, prompt_tokens,
                cached_tokens, completion_tokens, reasoning_tokens, usage_found, usage_raw, outcome,
                status_code, finish_reason, streamed, event_time, start_time, first_byte_time, stored_at,
                cache_write_tokens, prompt_audio_tokens, completion_audio_tokens, model_untrusted, answer_bytes,
                part_of, part_count, usage_partial, model_echoed, summed_as_other, trace_id)
            VALUES (
                NEW.request_id, NEW.client_request_id, NEW.producer_id, NEW.producer_seq, NEW.auth_id,
                NEW.user_id, NEW.group_id, NEW.resource_id, NEW.resource_type, NEW.base_model, NEW.model_id,
                NEW.requested_model, NEW.api, NEW.prompt_tokens, NEW.cached_tokens, NEW.completion_tokens,
                NEW.reasoning_tokens, NEW.usage_found, NEW.usage_raw, NEW.outcome, NEW.status_code,
                NEW.finish_reason, NEW.streamed, NEW.event_time, NEW.start_time, NEW.first_byte_time,
                NEW.stored_at, NEW.cache_write_tokens, NEW.prompt_audio_tokens, NEW.completion_audio_tokens,
                NEW.model_untrusted, NEW.answer_bytes, NEW.part_of, NEW.part_count, NEW.usage_partial,
                NEW.model_echoed, NEW.summed_as_other, NEW.trace_id);
            RETURN NEW;
        WHEN 'UPDATE' THEN
            UPDATE stored_event
            SET pattern = NULL, usage_numbers = NULL, (
                request_id, client_request_id, producer_id, producer_seq, auth_id, user_id, group_id,
                resource_id, resource_type, base_model, model_id, requested_model, api, prompt_tokens,
                cached_tokens, completion_tokens, reasoning_tokens, usage_found, usage_raw, outcome,
                status_code, finish_reason, streamed, event_time, start_time, first_byte_time, stored_at,
                cache_write_tokens, prompt_audio_tokens, completion_audio_tokens, model_untrusted, answer_bytes,
                part_of, part_count, usage_partial, model_echoed, summed_as_other, trace_id
            ) = ROW (
                NEW.request_id, NEW.client_request_id, NEW.producer_id, NEW.producer_seq, NEW.auth_id,
                NEW.user_id, NEW.group_id, NEW.resource_id, NEW.resource_type, NEW.base_model, NEW.model_id,
                NEW.requested_model, NEW.api, NEW.prompt_tokens, NEW.cached_tokens, NEW.completion_tokens,
                NEW.reasoning_tokens, NEW.usage_found, NEW.usage_raw, NEW.outcome, NEW.status_code,
                NEW.finish_reason, NEW.streamed, NEW.event_time, NEW.start_time, NEW.first_byte_time,
                NEW.stored_at, NEW.cache_write_tokens, NEW.prompt_audio_tokens, NEW.completion_audio_tokens,
                NEW.model_untrusted, NEW.answer_bytes, NEW.part_of, NEW.part_count, NEW.usage_partial,
                NEW.model_echoed, NEW.summed_as_other, NEW.trace_id)
            WHERE request_id = OLD.request_id;
            RETURN NEW;
        ELSE
            DELETE FROM stored_event WHERE request_id = OLD.request_id;
            RETURN OLD;
    END CASE;
END
$$;

-- As 0012_restores does: a trigger's function says where its tables are, so that data can be restored.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION billing_event_change() SET search_path = %I, pg_temp', current_schema());
END
$$;

CREATE TRIGGER billing_event_change INSTEAD OF INSERT OR UPDATE OR DELETE ON billing_event
FOR EACH ROW EXECUTE FUNCTION billing_event_change();
