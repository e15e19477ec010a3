-- Tells for each number of a producer whether an event with it was stored and pruned since.
-- :producer_ids: of each number whose it is, :producer_seqs: the numbers; either may be NULL. One row each, in order.
SELECT EXISTS (
    SELECT
    FROM pruned_number
    WHERE pruned_number.producer_id = sent.producer_id AND numbers @> sent.producer_seq
) AS known
FROM unnest(:producer_ids::text[], :producer_seqs::bigint[]) WITH ORDINALITY AS sent (producer_id, producer_seq)
ORDER BY sent.ordinality
