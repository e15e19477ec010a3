-- What a producer said of itself, if it did, and the highest of its numbers that is here or was until it was pruned
-- (0: none).
-- :producer_id: which producer.
SELECT
    last_seen, last_seq, spooled_events, open_exchanges, complete_until, stopped, lost_rows, retired, name, version,
    greatest(
        0,
        -- By stretches, as in lowest_number.sql.
        (
            SELECT producer_seq
            FROM stored_event
            WHERE producer_id = :producer_id AND producer_seq IS NOT NULL
            ORDER BY producer_seq >> 8 DESC, producer_seq DESC
            LIMIT 1),
        (SELECT max(producer_seq) FROM rejected_event WHERE producer_id = :producer_id AND producer_seq IS NOT NULL),
        -- A range without an end ends with the highest number there is.
        (
            SELECT max(coalesce(upper(numbers) - 1, 9223372036854775807))
            FROM pruned_number
            WHERE producer_id = :producer_id)
    ) AS highest
FROM (VALUES (1)) AS one
LEFT JOIN producer ON producer.producer_id = :producer_id
