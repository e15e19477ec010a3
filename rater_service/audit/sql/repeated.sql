-- The first of a producer's numbers that several stored events have, one of which may have been pruned.
-- $1: producer id, $2: after this number, $3: up to this number, $4: how many.
SELECT producer_seq AS first, producer_seq AS last
FROM billing_event
WHERE producer_id = $1 AND producer_seq > $2 AND producer_seq <= $3
GROUP BY producer_seq
HAVING count(*) > 1
    OR producer_seq <@ (SELECT range_agg(numbers) FROM pruned_number WHERE producer_id = $1)
ORDER BY producer_seq
LIMIT $4
