-- Adds bills up like report.sql, by the coarsest sums that the database keeps: of whole months, of the other whole days,
-- and of the hours before and behind these by the rollups themselves.
-- :window_start, :window_end: the window, its end exclusive; :first_day, :end_day: its whole days of UTC, and :first_month,
-- :end_month: the whole months among them, ends exclusive; :auth_id, :resource_id, :model_id: whose of what (NULL: no such
-- condition); :limit: how many rows (NULL: all). {days}: the sums by the day, rated_day or, where no customer and no resource
-- matter, rated_model_day with nothing in their place. {names}: what to group by, under the names of a report, and {groups}
-- the same without names: to choose at each row takes longer than to add it up. {order}: in which order.
-- Each row also has what all rows come to, under names that begin with all_, and how many there are.
WITH part AS (
    SELECT
        month AS day, NULL::timestamptz AS hour, auth_id, resource_id, model_id,
        rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost
    FROM rated_month
    WHERE month >= :first_month AND month < :end_month
        AND (:auth_id::text IS NULL OR auth_id = :auth_id)
        AND (:resource_id::text IS NULL OR resource_id = :resource_id)
        AND (:model_id::text IS NULL OR model_id = :model_id)
    UNION ALL
    SELECT
        day, NULL AS hour, auth_id, resource_id, model_id,
        rollups, events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost
    FROM {days} AS of_day
    WHERE ((day >= :first_day AND day < :first_month) OR (day >= :end_month AND day < :end_day))
        AND (:auth_id IS NULL OR auth_id = :auth_id)
        AND (:resource_id IS NULL OR resource_id = :resource_id)
        AND (:model_id IS NULL OR model_id = :model_id)
    UNION ALL
    SELECT
        date_trunc('day', window_start, 'UTC') AS day, window_start AS hour, auth_id, resource_id, model_id,
        1 AS rollups, event_count AS events, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens, cost
    FROM rated_usage
    WHERE ((window_start >= :window_start AND window_start < :first_day)
            OR (window_start >= :end_day AND window_start < :window_end))
        AND (:auth_id IS NULL OR auth_id = :auth_id)
        AND (:resource_id IS NULL OR resource_id = :resource_id)
        AND (:model_id IS NULL OR model_id = :model_id)
), grouped AS (
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
), whole AS (
    SELECT
        count(*) AS all_rows,
        sum(rollups)::bigint AS all_rollups,
        sum(events) AS all_events,
        sum(prompt_tokens) AS all_prompt_tokens,
        sum(cached_tokens) AS all_cached_tokens,
        sum(billable_prompt_tokens) AS all_billable_prompt_tokens,
        sum(completion_tokens) AS all_completion_tokens,
        sum(cost) AS all_cost
    FROM grouped
)
SELECT grouped.*, whole.*
FROM grouped
CROSS JOIN whole
ORDER BY {order}
LIMIT :limit
