-- As rating/late_hours.sql: the sums of all touched hours are read at once.
-- :since, :before: which hours (NULL: no such bound), and :ahead_from: those from there on as well (NULL: none);
-- :except_from, :except_until: none of these (NULL: no such).
WITH touched AS MATERIALIZED (
    SELECT DISTINCT window_start
    FROM touched_hour
    WHERE (:since::timestamptz IS NULL OR window_start >= :since)
        AND (:before::timestamptz IS NULL OR window_start < :before OR window_start >= :ahead_from::timestamptz)
        AND (:except_from::timestamptz IS NULL OR window_start < :except_from OR window_start >= :except_until)
), summed AS MATERIALIZED (
    SELECT
        window_start,
        sum(event_count)::bigint AS event_count,
        sum(prompt_tokens + completion_tokens) AS tokens
    FROM hourly_usage
    WHERE window_start IN (SELECT window_start FROM touched)
    GROUP BY window_start
)
SELECT
    touched.window_start AS hour, rated.run, rated.knowledge_at,
    coalesce(summed.event_count, 0) - coalesce(rated.event_count, 0) AS events,
    coalesce(summed.tokens, 0) - coalesce(rated.tokens, 0) AS tokens
FROM touched
LEFT JOIN rated_hour AS rated USING (window_start)
LEFT JOIN summed USING (window_start)
WHERE (coalesce(summed.event_count, 0), coalesce(summed.tokens, 0))
    <> (coalesce(rated.event_count, 0), coalesce(rated.tokens, 0))
ORDER BY touched.window_start
