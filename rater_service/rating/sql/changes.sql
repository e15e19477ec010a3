-- Finds how rated_usage differs from the rollups it must have, and from those it has by the ledger.
-- :window_start, :window_end: the window, its end exclusive; {rated}: those it must have.
--
-- A row that differs from the ledger was changed behind its back, and is written anew even if by chance it is as it
-- must be.
INSERT INTO rating_change
    (kind, tampering, tampered_cost, rollup, {key}, {old_values}, old_run, {new_values})
SELECT
    CASE
        WHEN new_cost IS NULL THEN 'delete'
        WHEN old_cost IS NULL THEN 'insert'
        WHEN tampering IS NOT NULL THEN 'update'
        WHEN ({new_values}) IS DISTINCT FROM ({old_values}) THEN 'update'
        ELSE 'same'
    END AS kind,
    tampering, tampered_cost, rollup, {key}, {old_values}, old_run, {new_values}
FROM (
    SELECT
        CASE
            WHEN found.cost IS NULL AND recorded.cost IS NULL THEN NULL
            WHEN recorded.cost IS NULL THEN 'no run wrote it'
            WHEN found.cost IS NULL THEN 'it was deleted'
            WHEN (found.id, found.run, {found.values})
                IS NOT DISTINCT FROM (recorded.id, recorded.run, {recorded.values}) THEN NULL
            ELSE (
                SELECT string_agg(
                    format('%s was %s, is %s', name, coalesce(was.value, 'NULL'), coalesce(is_now.value, 'NULL')), '; '
                    ORDER BY name)
                FROM jsonb_each_text(to_jsonb(recorded)) AS was (name, value)
                JOIN jsonb_each_text(to_jsonb(found)) AS is_now (name, value) USING (name)
                WHERE was.value IS DISTINCT FROM is_now.value)
        END AS tampering,
        abs(coalesce(found.cost, 0) - coalesce(recorded.cost, 0)) AS tampered_cost,
        found.id AS rollup,
        {key},
        {found.values},
        found.run AS old_run,
        {must.values}
    FROM (
{rated}
    ) AS must
    FULL JOIN (
        SELECT * FROM rated_usage WHERE window_start >= :window_start AND window_start < :window_end
    ) AS found USING ({key})
    LEFT JOIN rating_recorded AS recorded USING ({key})
    -- So that what was tampered with is found once, and not again for the kind.
    OFFSET 0
) AS compared (tampering, tampered_cost, rollup, {key}, {old_values}, old_run, {new_values})
