-- One page of rated usage, in the order of rollups, after the rollup of the page before, as it was when the first
-- page was read.
-- :window_start: from this hour, :window_end: before this hour, :auth_id and :resource_id: whose; :after_window_start,
-- :after_auth_id, :after_resource_id, :after_model_id: the key of the last rollup seen; :limit: how many rows;
-- :last_change: the last change there was when the first page was read. NULL means no such condition; planned with the
-- values at hand, such a condition disappears, and what is left is answered from one index in page order.
--
-- Runs that came later replaced what they found: the first change since then of a rollup has what it was.
WITH later AS (
    SELECT DISTINCT ON ({key}) *
    FROM rated_usage_change
    WHERE id > :last_change
        AND (:window_start::timestamptz IS NULL OR window_start >= :window_start)
        AND (:window_end::timestamptz IS NULL OR window_start < :window_end)
        AND (:auth_id::text IS NULL OR auth_id = :auth_id)
        AND (:resource_id::text IS NULL OR resource_id = :resource_id)
        AND (:after_window_start::timestamptz IS NULL OR ({key}) > ({:after_key}))
    ORDER BY {key}, id
)
(
    SELECT id, {key}, window_end, {values}, run, rated_at
    FROM rated_usage
    WHERE (:window_start IS NULL OR window_start >= :window_start)
        AND (:window_end IS NULL OR window_start < :window_end)
        AND (:auth_id IS NULL OR auth_id = :auth_id)
        AND (:resource_id IS NULL OR resource_id = :resource_id)
        AND (:after_window_start IS NULL OR ({key}) > ({:after_key}))
        AND NOT EXISTS (SELECT FROM later WHERE ({later.key}) = ({rated_usage.key}))
    ORDER BY {key}
    LIMIT :limit
)
UNION ALL
(
    SELECT
        rollup AS id, {later.key}, later.window_start + interval '1 hour' AS window_end, {old_values},
        old_run AS run, started_at AS rated_at
    FROM later
    -- What was inserted was nothing before, and has no old run.
    JOIN rating_run ON rating_run.id = old_run
    ORDER BY {later.key}
    LIMIT :limit
)
ORDER BY {key}
LIMIT :limit
