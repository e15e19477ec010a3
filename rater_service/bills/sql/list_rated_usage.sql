-- One page of rated usage, in the order of rollups, after the rollup of the page before, as it was when the first
-- page was read.
-- :window_start: from this hour, :window_end: before this hour, :auth_id and :resource_id: whose; :after_window_start,
-- :after_auth_id, :after_resource_id, :after_model_id: the key of the last rollup seen; :limit: how many rows;
-- :last_change: the last change there was when the first page was read. NULL means no such condition; planned with the
-- values at hand, such a condition disappears, and what is left is answered from one index in page order.
--
-- Runs that came later replaced what they found: the first change since then of a rollup has what it was. It is looked
-- up for the rollups of the page alone, however many were changed.
WITH present AS (
    SELECT {now.key}, since.id AS change
    FROM rated_usage AS now
    LEFT JOIN LATERAL (
        SELECT id, kind
        FROM rated_usage_change AS change
        WHERE ({change.key}) = ({now.key}) AND change.id > :last_change
            -- Mostly there are none at all, which is asked once.
            AND EXISTS (SELECT FROM rated_usage_change AS any_change WHERE any_change.id > :last_change)
        ORDER BY run
        LIMIT 1
    ) AS since ON true
    WHERE (:window_start::timestamptz IS NULL OR now.window_start >= :window_start)
        AND (:window_end::timestamptz IS NULL OR now.window_start < :window_end)
        AND (:auth_id::text IS NULL OR now.auth_id = :auth_id)
        AND (:resource_id::text IS NULL OR now.resource_id = :resource_id)
        AND (:after_window_start::timestamptz IS NULL OR ({now.key}) > ({:after_key}))
        AND coalesce(since.kind <> 'INSERT', true)
    ORDER BY {now.key}
    LIMIT :limit
), gone AS (
    SELECT {deleted.key}, since.id AS change
    FROM (
        SELECT DISTINCT {key}
        FROM rated_usage_change
        WHERE kind = 'DELETE' AND id > :last_change
            AND (:window_start IS NULL OR window_start >= :window_start)
            AND (:window_end IS NULL OR window_start < :window_end)
            AND (:auth_id IS NULL OR auth_id = :auth_id)
            AND (:resource_id IS NULL OR resource_id = :resource_id)
            AND (:after_window_start IS NULL OR ({key}) > ({:after_key}))
    ) AS deleted
    CROSS JOIN LATERAL (
        SELECT id, kind
        FROM rated_usage_change AS change
        WHERE ({change.key}) = ({deleted.key}) AND change.id > :last_change
        ORDER BY run
        LIMIT 1
    ) AS since
    WHERE since.kind <> 'INSERT'
        AND NOT EXISTS (SELECT FROM rated_usage AS now WHERE ({now.key}) = ({deleted.key}))
    ORDER BY {deleted.key}
    LIMIT :limit
), page AS MATERIALIZED (
    SELECT * FROM present
    UNION ALL
    SELECT * FROM gone
    ORDER BY {key}
    LIMIT :limit
)
SELECT now.id, {now.key}, window_end, {values}, run, rated_at
FROM page
JOIN rated_usage AS now ON ({now.key}) = ({page.key})
WHERE page.change IS NULL
UNION ALL
SELECT
    rollup AS id, {change.key}, change.window_start + interval '1 hour' AS window_end, {old_values},
    old_run AS run, started_at AS rated_at
FROM page
JOIN rated_usage_change AS change ON change.id = page.change
JOIN rating_run ON rating_run.id = old_run
ORDER BY {key}
