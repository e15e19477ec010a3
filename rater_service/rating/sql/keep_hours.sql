-- Keeps what a run saw of each hour of its window, and forgets what touched hours long before its snapshot: no transaction
-- takes that long, so the run has seen it. In its window all of that is rated. Other hours no run may ever rate again; their
-- marks go once the sums are those of their last run.
-- :run: the run; :knowledge_at: when its snapshot was taken; :window_start, :window_end: its window, its end exclusive;
-- :window_starts, :event_counts, :tokens: the hours in it that have usage, how many events, and how many prompt and completion tokens.
WITH seen AS (
    SELECT *
    FROM unnest(:window_starts::timestamptz[], :event_counts::bigint[], :tokens::numeric[]) AS hour (window_start, event_count, tokens)
), emptied AS (
    DELETE FROM rated_hour
    WHERE window_start >= :window_start AND window_start < :window_end
        AND window_start NOT IN (SELECT window_start FROM seen)
), settled AS (
    DELETE FROM touched_hour AS touched
    WHERE touched_in < date_trunc('hour', :knowledge_at::timestamptz, 'UTC') - interval '12 hours'
        AND (
            window_start >= :window_start AND window_start < :window_end
            OR EXISTS (
                SELECT
                FROM (
                    SELECT
                        coalesce(sum(event_count), 0) AS events,
                        coalesce(sum(prompt_tokens + completion_tokens), 0) AS tokens
                    FROM hourly_usage
                    WHERE hourly_usage.window_start = touched.window_start
                ) AS summed
                LEFT JOIN rated_hour ON rated_hour.window_start = touched.window_start
                WHERE (events, summed.tokens) = (coalesce(event_count, 0), coalesce(rated_hour.tokens, 0))))
)
INSERT INTO rated_hour (window_start, run, knowledge_at, event_count, tokens)
SELECT window_start, :run AS run, :knowledge_at AS knowledge_at, event_count, tokens
FROM seen
ON CONFLICT (window_start) DO UPDATE
SET run = EXCLUDED.run, knowledge_at = EXCLUDED.knowledge_at, event_count = EXCLUDED.event_count,
    tokens = EXCLUDED.tokens
