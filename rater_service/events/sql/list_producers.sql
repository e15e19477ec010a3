-- All producers, those furthest behind first.
SELECT
    producer_id, first_seen, last_seen, last_seq, spooled_events, open_exchanges, complete_until, stopped, lost_rows,
    retired, retired_at, retired_by, clock_skew, name, version
FROM producer
ORDER BY stopped OR retired, complete_until NULLS FIRST, producer_id
