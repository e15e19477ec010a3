-- The first of a producer's numbers that several stored events have, one of which may have been pruned.
-- :producer_id: whose numbers, :after: those after this one, :up_to: up to this one, :limit: how many. Stretches
-- as in lowest_number.sql.
SELECT producer_seq AS first, producer_seq AS last
FROM stored_event
WHERE producer_id = :producer_id AND producer_seq > :after AND producer_seq <= :up_to
    AND producer_seq >> 8 BETWEEN :after::bigint >> 8 AND :up_to::bigint >> 8
GROUP BY producer_seq
HAVING count(*) > 1
    OR producer_seq <@ (SELECT range_agg(numbers) FROM pruned_number WHERE producer_id = :producer_id)
ORDER BY producer_seq
LIMIT :limit
