-- Counts which of a producer's numbers are here, in a stretch with a bounded number of stored events.
-- :producer_id: whose numbers, :after: those after this one, :up_to: up to this one, :limit: how many stored events at
-- most. Stretches of 256 numbers as in lowest_number.sql.
--
-- stretch_end: how far the stretch goes; the next one starts after it. present: numbers that are here or were; stored:
-- those of stored events, the others being kept aside only; pruned: those of stored events that were pruned since;
-- repeated: numbers that events with different ids have.
WITH stretch AS (
    SELECT CASE WHEN count(*) < :limit THEN :up_to ELSE max(producer_seq) END AS stretch_end
    FROM (
        SELECT producer_seq
        FROM stored_event
        WHERE producer_id = :producer_id AND producer_seq > :after AND producer_seq <= :up_to
            AND producer_seq >> 8 BETWEEN :after::bigint >> 8 AND :up_to::bigint >> 8
        ORDER BY producer_seq >> 8, producer_seq
        LIMIT :limit
    ) AS first
), stored AS (
    SELECT producer_seq, count(*) AS events
    FROM stored_event
    WHERE producer_id = :producer_id AND producer_seq > :after AND producer_seq <= (SELECT stretch_end FROM stretch)
        AND producer_seq >> 8 BETWEEN :after::bigint >> 8 AND (SELECT stretch_end >> 8 FROM stretch)
    GROUP BY producer_seq
), pruned AS (
    SELECT coalesce(range_agg(numbers), '{}') * int8multirange(
        int8range(:after + 1, nullif((SELECT stretch_end FROM stretch), 9223372036854775807) + 1)) AS numbers
    FROM pruned_number
    WHERE producer_id = :producer_id
), pruned_count AS (
    SELECT coalesce(sum(coalesce(upper(gapless)::numeric, 9223372036854775808) - lower(gapless)), 0)::bigint AS numbers
    FROM pruned
    CROSS JOIN unnest(pruned.numbers) AS gapless
), kept AS (
    -- An event that conflicts with a stored one, or was stored at a second attempt, has that one's id.
    SELECT
        producer_seq,
        count(DISTINCT lower(request_id COLLATE "C")) FILTER (WHERE NOT EXISTS (
            SELECT
            FROM stored_event AS same
            WHERE same.producer_id = :producer_id
                AND same.producer_seq = rejected_event.producer_seq
                AND same.producer_seq >> 8 BETWEEN :after >> 8 AND (SELECT stretch_end >> 8 FROM stretch)
                AND same.request_id::text = lower(rejected_event.request_id COLLATE "C"))) AS events
    FROM rejected_event
    WHERE producer_id = :producer_id AND producer_seq > :after AND producer_seq <= (SELECT stretch_end FROM stretch)
    GROUP BY producer_seq
)
SELECT
    (SELECT stretch_end FROM stretch) AS stretch_end,
    count(*) FILTER (WHERE NOT is_pruned) + (SELECT numbers FROM pruned_count) AS present,
    count(stored.producer_seq) FILTER (WHERE NOT is_pruned) + (SELECT numbers FROM pruned_count) AS stored,
    (SELECT numbers FROM pruned_count) AS pruned,
    count(*) FILTER (WHERE
        coalesce(stored.events, 0) + CASE WHEN is_pruned THEN 1 ELSE coalesce(kept.events, 0) END > 1) AS repeated
FROM stored
FULL JOIN kept USING (producer_seq)
CROSS JOIN LATERAL (SELECT producer_seq <@ (SELECT numbers FROM pruned) AS is_pruned) AS known
