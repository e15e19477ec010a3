-- The first ranges of a producer's numbers that are not here, and were not until they were pruned.
-- :producer_id: whose numbers, :after: those after this one, :up_to: up to this one, :limit: how many ranges. Stretches
-- as in lowest_number.sql.
SELECT number_before + 1 AS first, number - 1 AS last
FROM (
    SELECT
        number,
        coalesce(
            max(last_number) OVER (ORDER BY number, last_number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            :after) AS number_before
    FROM (
        SELECT producer_seq::numeric AS number, producer_seq::numeric AS last_number
        FROM stored_event
        WHERE producer_id = :producer_id AND producer_seq > :after AND producer_seq <= :up_to
            AND producer_seq >> 8 BETWEEN :after::bigint >> 8 AND :up_to::bigint >> 8
        UNION ALL
        SELECT producer_seq AS number, producer_seq AS last_number
        FROM rejected_event
        WHERE producer_id = :producer_id AND producer_seq > :after AND producer_seq <= :up_to
        UNION ALL
        SELECT lower(gapless) AS number, coalesce(upper(gapless)::numeric - 1, :up_to) AS last_number
        FROM pruned_number
        CROSS JOIN unnest(
            numbers * int8multirange(int8range(:after + 1, nullif(:up_to, 9223372036854775807) + 1))) AS gapless
        WHERE producer_id = :producer_id
        UNION ALL
        -- What follows the last number is a gap as well; numbers end where bigint does.
        SELECT :up_to::numeric + 1 AS number, :up_to::numeric + 1 AS last_number
    ) AS present
) AS step
WHERE number > number_before + 1
ORDER BY number
LIMIT :limit
