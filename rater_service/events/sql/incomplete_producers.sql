-- The producers that may still have events from before a time, those furthest behind first, each with how many
-- there are and how many events and exchanges these are known to have.
-- :before: the time, :limit: how many rows.
SELECT
    producer_id, complete_until, spooled_events, open_exchanges, last_seen, name,
    count(*) OVER () AS producers,
    -- Producers may claim what they like: no sum of it may keep a window from being rated.
    least(sum(spooled_events::numeric + open_exchanges) OVER (), 9223372036854775807)::bigint AS events
FROM producer
WHERE NOT stopped AND NOT retired AND (complete_until IS NULL OR complete_until < :before)
ORDER BY complete_until NULLS FIRST, producer_id
LIMIT :limit
