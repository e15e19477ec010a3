-- How many of the window's events no price could make billable.
-- {categories}: see categories.sql, which has the arguments.
SELECT coalesce(sum(event_count), 0)::bigint
FROM (
{categories}
) AS usage
WHERE category <> 'unpriced'
