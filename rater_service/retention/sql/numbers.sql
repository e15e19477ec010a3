-- The numbers of a partition's events from before a time, by producer, as the text of an int8multirange.
-- {partition}: its name, :before: the time.
-- Numbers without a gap are one range; the highest number there is has no next one, so that its range has no end.
SELECT producer_id, range_agg(int8range(first, nullif(last, 9223372036854775807) + 1))::text AS numbers
FROM (
    SELECT producer_id, min(producer_seq) AS first, max(producer_seq) AS last
    FROM (
        SELECT
            producer_id, producer_seq,
            producer_seq - dense_rank() OVER (PARTITION BY producer_id ORDER BY producer_seq) AS island
        FROM {partition}
        WHERE event_time < :before AND producer_id IS NOT NULL AND producer_seq IS NOT NULL
    ) AS numbered
    GROUP BY producer_id, island
) AS gapless
GROUP BY producer_id
ORDER BY producer_id
