-- The hours whose usage is newer than their last run, or that no run has rated, oldest first; each with
-- its last run and how much there is that the run did not see.
-- :since, :before: which hours (NULL: no such bound), and :ahead_from: those from there on as well (NULL: none);
-- :except_from, :except_until: none of these (NULL: no such).
WITH touched AS (
    SELECT DISTINCT window_start
    FROM touched_hour
    WHERE (:since::timestamptz IS NULL OR window_start >= :since)
        AND (:before::timestamptz IS NULL OR window_start < :before OR window_start >= :ahead_from::timestamptz)
        AND (:except_from::timestamptz IS NULL OR window_start < :except_from OR window_start >= :except_until)
)
SELECT
    touched.window_start AS hour, rated.run, rated.knowledge_at,
    summed.event_count - coalesce(rated.event_count, 0) AS events,
    summed.tokens - coalesce(rated.tokens, 0) AS tokens
FROM touched
LEFT JOIN rated_hour AS rated USING (window_start)
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(event_count), 0)::bigint AS event_count,
        coalesce(sum(prompt_tokens + completion_tokens), 0) AS tokens
    FROM hourly_usage
    WHERE hourly_usage.window_start = touched.window_start
) AS summed
WHERE (summed.event_count, summed.tokens) <> (coalesce(rated.event_count, 0), coalesce(rated.tokens, 0))
ORDER BY touched.window_start
