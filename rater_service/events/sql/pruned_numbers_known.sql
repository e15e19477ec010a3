-- Tells for each number of a producer whether an event with it was stored and pruned since.
-- $1: producer ids, $2: numbers; either may be NULL. One row each, in order.
SELECT EXISTS (
    SELECT
    FROM pruned_number
    WHERE pruned_number.producer_id = sent.producer_id AND numbers @> sent.producer_seq
) AS known
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS sent (producer_id, producer_seq)
ORDER BY sent.ordinality
