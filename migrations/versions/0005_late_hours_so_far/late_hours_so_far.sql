-- What the last run over each hour saw, as far as it can still be told: everything, if nothing was stored from shortly
-- before the run on, or if its whole window still has as many events as it counted; otherwise at least what had been
-- stored by then. Where that is too little, the hour is called late once more than need be, and rating it again
-- changes nothing.
WITH last_run AS (
    SELECT DISTINCT ON (window_hour) window_hour, id
    FROM rating_run
    CROSS JOIN LATERAL generate_series(
        window_start, window_end - interval '1 hour', interval '1 hour') AS hour (window_hour)
    WHERE NOT dry_run
    ORDER BY window_hour, id DESC
), hour AS (
    SELECT
        window_hour, id, run.knowledge_at,
        sum(event_count) AS events,
        sum(prompt_tokens + completion_tokens) AS tokens,
        sum(event_count) FILTER (WHERE last_stored_at < run.knowledge_at - interval '2 minutes') AS events_before,
        sum(prompt_tokens + completion_tokens) FILTER (
            WHERE last_stored_at < run.knowledge_at - interval '2 minutes') AS tokens_before
    FROM last_run
    JOIN rating_run AS run USING (id)
    JOIN hourly_usage ON hourly_usage.window_start = window_hour
    GROUP BY window_hour, id, run.knowledge_at
), whole AS (
    SELECT id
    FROM rating_run AS run
    WHERE id IN (SELECT id FROM hour WHERE events_before IS DISTINCT FROM events)
        AND events_in_window = (
            SELECT sum(event_count)
            FROM hourly_usage
            WHERE hourly_usage.window_start >= run.window_start AND hourly_usage.window_start < run.window_end)
)
INSERT INTO rated_hour (window_start, run, knowledge_at, event_count, tokens)
SELECT
    window_hour, id, knowledge_at,
    CASE WHEN whole.id IS NULL THEN events_before ELSE events END AS event_count,
    CASE WHEN whole.id IS NULL THEN tokens_before ELSE tokens END AS tokens
FROM hour
LEFT JOIN whole USING (id)
WHERE whole.id IS NOT NULL OR events_before > 0
ON CONFLICT DO NOTHING;

-- In no hour of the clock in which a batch may be touching one: batches would wait.
INSERT INTO touched_hour (window_start, touched_in)
SELECT summed.window_start, '2000-01-01T00:00Z' AS touched_in
FROM (
    SELECT window_start, sum(event_count) AS event_count, sum(prompt_tokens + completion_tokens) AS tokens
    FROM hourly_usage
    GROUP BY window_start
) AS summed
LEFT JOIN rated_hour USING (window_start)
WHERE rated_hour.window_start IS NULL
    OR (rated_hour.event_count, rated_hour.tokens) <> (summed.event_count, summed.tokens);
