-- As rating/keep_hours.sql: which hours are settled is found before their marks are taken away.
-- :run: the run; :knowledge_at: when its snapshot was taken; :window_start, :window_end: its window, its end exclusive;
-- :window_starts, :event_counts, :tokens: the hours in it that have usage, how many events, and how many prompt and completion tokens.
WITH seen AS MATERIALIZED (
    SELECT *
    FROM unnest(:window_starts::timestamptz[], :event_counts::bigint[], :tokens::numeric[]) AS hour (window_start, event_count, tokens)
), emptied AS (
    DELETE FROM rated_hour
    WHERE window_start >= :window_start AND window_start < :window_end
        AND window_start NOT IN (SELECT window_start FROM seen)
), stale AS MATERIALIZED (
    SELECT DISTINCT window_start
    FROM touched_hour
    WHERE touched_in < date_trunc('hour', :knowledge_at::timestamptz, 'UTC') - interval '12 hours'
), summed AS MATERIALIZED (
    SELECT window_start, sum(event_count) AS events, sum(prompt_tokens + completion_tokens) AS tokens
    FROM hourly_usage
    WHERE window_start IN (SELECT window_start FROM stale)
    GROUP BY window_start
), settled_hour AS MATERIALIZED (
    SELECT window_start
    FROM stale
    LEFT JOIN summed USING (window_start)
    LEFT JOIN rated_hour USING (window_start)
    WHERE (window_start >= :window_start AND window_start < :window_end)
        OR (coalesce(summed.events, 0), coalesce(summed.tokens, 0))
            = (coalesce(rated_hour.event_count, 0), coalesce(rated_hour.tokens, 0))
), settled AS (
    DELETE FROM touched_hour
    WHERE touched_in < date_trunc('hour', :knowledge_at::timestamptz, 'UTC') - interval '12 hours'
        AND window_start IN (SELECT window_start FROM settled_hour)
)
INSERT INTO rated_hour (window_start, run, knowledge_at, event_count, tokens)
SELECT window_start, :run AS run, :knowledge_at AS knowledge_at, event_count, tokens
FROM seen
ON CONFLICT (window_start) DO UPDATE
SET run = EXCLUDED.run, knowledge_at = EXCLUDED.knowledge_at, event_count = EXCLUDED.event_count,
    tokens = EXCLUDED.tokens
