-- Counts which of a producer's numbers are here, in a stretch with a bounded number of stored events.
-- $1: producer id, $2: after this number, $3: up to this number, $4: how many stored events at most.
--
-- stretch_end: how far the stretch goes; the next one starts after it. present: numbers that are here or were; stored:
-- those of stored events, the others being kept aside only; pruned: those of stored events that were pruned since;
-- repeated: numbers that events with different ids have.
WITH stretch AS (
    SELECT CASE WHEN count(*) < $4 THEN $3 ELSE max(producer_seq) END AS stretch_end
    FROM (
        SELECT producer_seq
        FROM billing_event
        WHERE producer_id = $1 AND producer_seq > $2 AND producer_seq <= $3
        ORDER BY producer_seq
        LIMIT $4
    ) AS first
), stored AS (
    SELECT producer_seq, count(*) AS events
    FROM billing_event
    WHERE producer_id = $1 AND producer_seq > $2 AND producer_seq <= (SELECT stretch_end FROM stretch)
    GROUP BY producer_seq
), pruned AS (
    SELECT coalesce(range_agg(numbers), '{}') * int8multirange(
        int8range($2 + 1, nullif((SELECT stretch_end FROM stretch), 9223372036854775807) + 1)) AS numbers
    FROM pruned_number
    WHERE producer_id = $1
), pruned_count AS (
    SELECT coalesce(sum(coalesce(upper(gapless)::numeric, 9223372036854775808) - lower(gapless)), 0)::bigint AS numbers
    FROM pruned
    CROSS JOIN unnest(pruned.numbers) AS gapless
), kept AS (
    -- An event that conflicts with a stored one, or was stored at a second attempt, has that one's id.
    SELECT
        producer_seq,
        count(DISTINCT lower(request_id)) FILTER (WHERE NOT EXISTS (
            SELECT
            FROM billing_event AS same
            WHERE same.producer_id = $1
                AND same.producer_seq = rejected_event.producer_seq
                AND same.request_id::text = lower(rejected_event.request_id))) AS events
    FROM rejected_event
    WHERE producer_id = $1 AND producer_seq > $2 AND producer_seq <= (SELECT stretch_end FROM stretch)
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
