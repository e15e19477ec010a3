-- Moves sums of an hour from slot 0, which is held, to the table of cold sums. What the sums of a key add up to stays as it is.
-- Returns how many rows were moved.
-- :hour: the hour; :limit: how many rows at most; :is_known: whether there are cold sums of the hour already, with whose keys
-- those that are moved are added up.
WITH moved AS (
    DELETE FROM ONLY hourly_usage
    WHERE ctid = ANY (ARRAY(
            SELECT ctid
            FROM ONLY hourly_usage
            WHERE window_start = :hour AND slot = 0
            LIMIT :limit))
    RETURNING *
), known AS (
    DELETE FROM hourly_usage_cold AS cold
    USING moved
    WHERE :is_known::boolean
        AND cold.window_start = :hour
        -- No text is ever '', and unlike IS NOT DISTINCT FROM this can be hashed.
        AND (coalesce(cold.auth_id, ''), coalesce(cold.resource_id, ''), coalesce(cold.model_id, ''),
             coalesce(cold.base_model, ''), cold.usage_found, cold.model_untrusted, cold.completed)
            = (coalesce(moved.auth_id, ''), coalesce(moved.resource_id, ''), coalesce(moved.model_id, ''),
               coalesce(moved.base_model, ''), moved.usage_found, moved.model_untrusted, moved.completed)
    RETURNING cold.*
), added AS (
    INSERT INTO hourly_usage_cold
        (window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
         event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
         excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
         first_stored_at, last_stored_at)
    SELECT
        window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
        sum(event_count) AS event_count,
        sum(prompt_tokens) AS prompt_tokens,
        sum(cached_tokens) AS cached_tokens,
        sum(completion_tokens) AS completion_tokens,
        sum(billable_prompt_tokens) AS billable_prompt_tokens,
        sum(excess_cached_events) AS excess_cached_events,
        sum(excess_cached_tokens) AS excess_cached_tokens,
        -- Sums from before do not have it, and nobody knows it of them and others together.
        CASE WHEN bool_and(partial_usage_events IS NOT NULL) THEN sum(partial_usage_events) END AS partial_usage_events,
        sum(unbilled_events) AS unbilled_events,
        sum(unbilled_bytes) AS unbilled_bytes,
        sum(echoed_events) AS echoed_events,
        sum(echoed_tokens) AS echoed_tokens,
        min(first_stored_at) AS first_stored_at,
        max(last_stored_at) AS last_stored_at
    FROM (
        SELECT
            window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
            event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
            excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
            first_stored_at, last_stored_at
        FROM moved
        UNION ALL
        SELECT
            window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
            event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
            excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
            first_stored_at, last_stored_at
        FROM known
    ) AS sums
    GROUP BY window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed
    ORDER BY window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed
)
SELECT count(*) AS moved
FROM moved
