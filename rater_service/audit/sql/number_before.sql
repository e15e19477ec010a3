-- The highest of a producer's numbers below another that is here, or was until it was pruned; 0: none.
-- $1: producer id, $2: the other number.
SELECT greatest(
    0,
    (SELECT max(producer_seq) FROM billing_event WHERE producer_id = $1 AND producer_seq < $2),
    (SELECT max(producer_seq) FROM rejected_event WHERE producer_id = $1 AND producer_seq < $2),
    (SELECT max(upper(numbers * int8multirange(int8range(NULL, $2)))) - 1 FROM pruned_number WHERE producer_id = $1))
