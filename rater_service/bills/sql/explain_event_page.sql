-- One page of the events of a key and hour, billed or not, by their ids, which sort by time.
-- $1: the hour, $2: auth_id, $3: resource_id, $4: model_id, $5: after this id (NULL: from the first), $6: how many.
SELECT
    request_id, client_request_id, event_time, stored_at, prompt_tokens, cached_tokens, completion_tokens,
    base_model, outcome, usage_found, model_untrusted
FROM billing_event
WHERE event_time >= $1 AND event_time < $1::timestamptz + interval '1 hour'
    AND auth_id = $2 AND resource_id = $3 AND model_id = $4
    AND ($5::uuid IS NULL OR request_id > $5)
ORDER BY request_id
LIMIT $6
