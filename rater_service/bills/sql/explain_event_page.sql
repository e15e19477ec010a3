-- One page of the events of a key and hour, billed or not, by their ids, which sort by time.
-- :window_start: the hour; :auth_id, :resource_id, :model_id: the rest of the key; :archived: its events that are in the
-- archive, as JSON; :after: those after this id (NULL: from the first), :limit: how many (NULL: all).
SELECT
    request_id, client_request_id, event_time, stored_at, prompt_tokens, cached_tokens, completion_tokens,
    base_model, outcome, usage_found, model_untrusted, model_echoed, part_of, part_count, usage_partial, answer_bytes
FROM billing_event
WHERE event_time >= :window_start AND event_time < :window_start::timestamptz + interval '1 hour'
    AND auth_id = :auth_id AND resource_id = :resource_id AND model_id = :model_id
    AND (:after::uuid IS NULL OR request_id > :after)
UNION ALL
SELECT
    request_id, client_request_id, event_time, stored_at, prompt_tokens, cached_tokens, completion_tokens,
    base_model, outcome, usage_found, model_untrusted, model_echoed, part_of, part_count, usage_partial, answer_bytes
FROM jsonb_populate_recordset(NULL::billing_event, :archived::jsonb)
WHERE :after::uuid IS NULL OR request_id > :after
ORDER BY request_id
LIMIT :limit
