-- Finds the rollups that the ledger has although they were deleted behind its back, and that nothing accounts for any
-- more: there is no row to delete, but the ledger must not keep them. Found after the other changes.
INSERT INTO rating_change (kind, tampering, tampered_cost, rollup, {key}, {old_values}, old_run)
SELECT
    'delete' AS kind, 'it was deleted' AS tampering, cost AS tampered_cost, id AS rollup, {key}, {values},
    run AS old_run
FROM rating_recorded AS recorded
WHERE NOT EXISTS (SELECT FROM rating_change AS change WHERE ({change.key}) = ({recorded.key}))
