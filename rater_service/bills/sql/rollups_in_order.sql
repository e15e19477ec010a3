-- All columns of the rollups, in the order in which they are listed and exported.
-- rollup: see rollups.sql, with $1 to $6.
SELECT *
FROM rollup
ORDER BY window_start, auth_id, resource_id, model_id
