-- The highest of a producer's numbers below another that is here, or was until it was pruned; 0: none.
-- :producer_id: whose numbers, :number: the other number. Stretches as in lowest_number.sql.
SELECT greatest(
    0,
    (
        SELECT producer_seq
        FROM stored_event
        WHERE producer_id = :producer_id AND producer_seq < :number AND producer_seq >> 8 <= :number::bigint >> 8
        ORDER BY producer_seq >> 8 DESC, producer_seq DESC
        LIMIT 1),
    (SELECT max(producer_seq) FROM rejected_event WHERE producer_id = :producer_id AND producer_seq < :number),
    (
        SELECT max(upper(numbers * int8multirange(int8range(NULL, :number)))) - 1
        FROM pruned_number
        WHERE producer_id = :producer_id))
