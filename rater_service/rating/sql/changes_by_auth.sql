-- Adds the changes up: first a row for all of them together, without auth_id, then one for each auth_id that a change
-- concerns, those whose bill changes most first. Bills are those of the whole window, unchanged rollups included.
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
    FROM rating_change
    GROUP BY GROUPING SETS ((), (auth_id))
) AS bill
WHERE is_total OR rollups_inserted + rollups_updated + rollups_deleted > 0
ORDER BY is_total DESC, abs(cost_after - cost_before) DESC, auth_id
LIMIT :limit::bigint + 1
