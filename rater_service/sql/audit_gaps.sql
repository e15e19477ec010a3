-- The first ranges of a producer's numbers that are not here.
-- $1: producer id, $2: after this number, $3: up to this number, $4: how many ranges.
SELECT number_before + 1 AS first, number - 1 AS last
FROM (
    SELECT number, lag(number, 1, $2) OVER (ORDER BY number) AS number_before
    FROM (
        SELECT producer_seq AS number
        FROM billing_event
        WHERE producer_id = $1 AND producer_seq > $2 AND producer_seq <= $3
        UNION
        SELECT producer_seq
        FROM rejected_event
        WHERE producer_id = $1 AND producer_seq > $2 AND producer_seq <= $3
        UNION ALL
        -- What follows the last number is a gap as well; numbers end where bigint does.
        SELECT $3::numeric + 1
    ) AS present
) AS step
WHERE number > number_before + 1
ORDER BY number
LIMIT $4
