-- Adds sums to those of the same keys in a slot of this transaction's own, and notes the hours as touched. Returns how many
-- of the partitions that took the events still are partitions of stored_event, and how many of the patterns that the events
-- rely on are there. A distributed database does each of these by a statement of its own.
-- {sent}: sums_sent.sql; {added}: sums_added.sql; {partitions}: partitions_there.sql; {patterns}: patterns_there.sql.
WITH held AS MATERIALIZED (
    SELECT hourly_usage_slot() AS slot
), sent AS MATERIALIZED (
{sent}
), added AS (
{added}
), touched AS (
    INSERT INTO touched_hour (window_start, touched_in, slot)
    SELECT DISTINCT
        window_start,
        (SELECT date_trunc('hour', clock_timestamp(), 'UTC')) AS touched_in,
        (SELECT slot FROM held) AS slot
    FROM sent
    ORDER BY window_start
    ON CONFLICT DO NOTHING
)
SELECT
    (
{partitions}
    ) AS partitions,
    (
{patterns}
    ) AS patterns
