-- Adds bills up like report.sql, by the sums that are kept by the day; of the hours before the first whole day and behind
-- the last one by the rollups themselves.
-- :window_start, :window_end: the window, its end exclusive; :first_day, :end_day: its whole days of UTC, the end
-- exclusive; :auth_id, :resource_id, :model_id: whose of what (NULL: no such condition). {names}: what to group by, under the
-- names of a report, and {groups} the same without names: to choose at each row takes longer than to add it up. Nor is
-- there a total: whoever reads all rows adds them up.
WITH part AS (
    SELECT
        day, auth_id, resource_id, model_id,
        rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost
    FROM rated_day
    WHERE day >= :first_day AND day < :end_day
        AND (:auth_id::text IS NULL OR auth_id = :auth_id)
        AND (:resource_id::text IS NULL OR resource_id = :resource_id)
        AND (:model_id::text IS NULL OR model_id = :model_id)
    UNION ALL
    SELECT
        date_trunc('day', window_start, 'UTC') AS day, auth_id, resource_id, model_id,
        1 AS rollups, event_count AS events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost
    FROM rated_usage
    WHERE ((window_start >= :window_start AND window_start < :first_day)
            OR (window_start >= :end_day AND window_start < :window_end))
        AND (:auth_id IS NULL OR auth_id = :auth_id)
        AND (:resource_id IS NULL OR resource_id = :resource_id)
        AND (:model_id IS NULL OR model_id = :model_id)
)
SELECT
    {names},
    coalesce(sum(rollups), 0)::bigint AS rollups,
    coalesce(sum(events), 0) AS events,
    coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
    coalesce(sum(cached_tokens), 0) AS cached_tokens,
    coalesce(sum(billable_prompt_tokens), 0) AS billable_prompt_tokens,
    coalesce(sum(completion_tokens), 0) AS completion_tokens,
    coalesce(sum(cost), 0) AS cost
FROM part
GROUP BY {groups}
