-- Adds the changes up: first a row for all of them together, without auth_id, then one for each auth_id that a change
-- concerns, those whose bill changes most first. Bills are those of the whole window, unchanged rollups included.
-- :window_start, :window_end: the window; :part_start, :part_end: the part of it that was computed; each end exclusive;
-- :limit: how many auth_ids at most.
SELECT *, cost_after - cost_before AS difference, count(*) OVER () - 1 AS auth_ids
FROM (
    SELECT
        auth_id,
        grouping(auth_id) = 1 AS is_total,
        count(*) FILTER (WHERE kind = 'insert') AS rollups_inserted,
        count(*) FILTER (WHERE kind = 'update') AS rollups_updated,
        count(*) FILTER (WHERE kind = 'delete') AS rollups_deleted,
        coalesce(sum(old_cost), 0) AS cost_before,
        coalesce(sum(new_cost), 0) AS cost_after
    FROM (
        SELECT auth_id, kind, old_cost, new_cost
        FROM rating_change
        UNION ALL
        SELECT auth_id, 'same' AS kind, cost AS old_cost, cost AS new_cost
        FROM rated_usage
        WHERE window_start >= :window_start AND window_start < :part_start
            OR window_start >= :part_end AND window_start < :window_end
    ) AS rollup
    GROUP BY GROUPING SETS ((), (auth_id))
) AS bill
WHERE is_total OR rollups_inserted + rollups_updated + rollups_deleted > 0
ORDER BY is_total DESC, abs(cost_after - cost_before) DESC, auth_id
LIMIT :limit::bigint + 1
