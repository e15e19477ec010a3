-- The rollups of a window: as they are, or as a run left them. The other statements about rollups read this one.
-- $1: from this hour, $2: before this hour, $3: auth_id, $4: resource_id, $5: model_id (NULL: no such condition),
-- $6: the run, or NULL for the rollups as they are. Planned with the values at hand, one of the halves disappears.
SELECT
    id, auth_id, resource_id, model_id, window_start, window_end,
    prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, cost,
    applied_prompt_rate, applied_cached_rate, applied_completion_rate, event_count, base_model, price_book,
    run, rated_at
FROM rated_usage
WHERE $6::bigint IS NULL
    AND window_start >= $1 AND window_start < $2
    AND ($3::text IS NULL OR auth_id = $3)
    AND ($4::text IS NULL OR resource_id = $4)
    AND ($5::text IS NULL OR model_id = $5)
UNION ALL
SELECT
    rollup, auth_id, resource_id, model_id, latest.window_start, latest.window_start + interval '1 hour',
    new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens, new_cost,
    new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate, new_event_count, new_base_model,
    new_price_book, run, started_at
FROM (
    SELECT DISTINCT ON (window_start, auth_id, resource_id, model_id) *
    FROM rated_usage_change
    WHERE $6 IS NOT NULL AND run <= $6
        AND window_start >= $1 AND window_start < $2
        AND ($3 IS NULL OR auth_id = $3)
        AND ($4 IS NULL OR resource_id = $4)
        AND ($5 IS NULL OR model_id = $5)
    ORDER BY window_start, auth_id, resource_id, model_id, run DESC
) AS latest
JOIN rating_run ON rating_run.id = latest.run
WHERE kind <> 'DELETE'
