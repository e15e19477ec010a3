-- The first ranges of a producer's numbers that are not here, and were not until they were pruned.
-- $1: producer id, $2: after this number, $3: up to this number, $4: how many ranges.
SELECT number_before + 1 AS first, number - 1 AS last
FROM (
    SELECT
        number,
        coalesce(
            max(last_number) OVER (ORDER BY number, last_number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            $2) AS number_before
    FROM (
        SELECT producer_seq::numeric AS number, producer_seq::numeric AS last_number
        FROM billing_event
        WHERE producer_id = $1 AND producer_seq > $2 AND producer_seq <= $3
        UNION ALL
        SELECT producer_seq, producer_seq
        FROM rejected_event
        WHERE producer_id = $1 AND producer_seq > $2 AND producer_seq <= $3
        UNION ALL
        SELECT lower(gapless), coalesce(upper(gapless)::numeric - 1, $3)
        FROM pruned_number
        CROSS JOIN unnest(
            numbers * int8multirange(int8range($2 + 1, nullif($3, 9223372036854775807) + 1))) AS gapless
        WHERE producer_id = $1
        UNION ALL
        -- What follows the last number is a gap as well; numbers end where bigint does.
        SELECT $3::numeric + 1, $3::numeric + 1
    ) AS present
) AS step
WHERE number > number_before + 1
ORDER BY number
LIMIT $4
