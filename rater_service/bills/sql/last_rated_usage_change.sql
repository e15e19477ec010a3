-- The number of the last change of a rollup; 0 before the first one.
SELECT coalesce(max(id), 0) FROM rated_usage_change
