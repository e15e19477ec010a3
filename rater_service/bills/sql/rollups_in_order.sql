-- All columns of the rollups, in the order in which they are listed and exported.
-- {rollups}: see rollups.sql, which has the arguments.
WITH rollup AS (
{rollups}
)
SELECT *
FROM rollup
ORDER BY {key}
