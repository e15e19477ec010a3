-- The lowest of a producer's numbers from a moment on: of an event that ended then or later (NULL: there is none).
-- :producer_id: whose number, :moment: the moment.
--
-- The index has numbers by their stretches of 256 only, so statements on numbers name the stretch (producer_seq >> 8) as well.
--
-- Numbers are given when exchanges end, so that they rise with the events' times, and the lowest is found by halving: some
-- thirty stretches are read, however many events came later. Where a clock was set back, an event may count
-- for the hour beside its own; as it is always halved at the same numbers, every number still counts for one hour only.
-- Events that were pruned together count as if all had ended with the first of them.
WITH RECURSIVE highest AS (
    SELECT producer_seq AS number, event_time AS ended
    FROM stored_event
    WHERE producer_id = :producer_id AND producer_seq IS NOT NULL
    ORDER BY producer_seq >> 8 DESC, producer_seq DESC, event_time DESC
    LIMIT 1
), halved AS (
    -- earlier: up to here all events ended earlier. step: the next numbers to decide on; at first the highest power of
    -- two among the numbers.
    SELECT
        0::bigint AS earlier,
        1::bigint << (length(ltrim(highest.number::bit(64)::text, '0')) - 1) AS step
    FROM highest
    WHERE highest.ended >= :moment
    UNION ALL
    SELECT CASE WHEN next.ended < :moment THEN earlier + step ELSE earlier END AS earlier, step / 2 AS step
    FROM halved
    LEFT JOIN LATERAL (
        SELECT event_time AS ended
        FROM stored_event
        WHERE producer_id = :producer_id AND producer_seq >= earlier + step AND producer_seq >> 8 >= (earlier + step) >> 8
        ORDER BY producer_seq >> 8, producer_seq, event_time
        LIMIT 1
    ) AS next ON true
    WHERE step > 0
)
SELECT least(
    (
        SELECT producer_seq
        FROM stored_event
        WHERE producer_id = :producer_id
            AND producer_seq > (SELECT earlier FROM halved WHERE step = 0)
            AND producer_seq >> 8 >= (SELECT earlier >> 8 FROM halved WHERE step = 0)
        ORDER BY producer_seq >> 8, producer_seq
        LIMIT 1),
    (
        SELECT min(lower(pruned_number.numbers))
        FROM pruned_number
        JOIN pruned_event_range AS pruned ON pruned.id = pruned_number.range_id
        WHERE pruned_number.producer_id = :producer_id AND pruned.first_event_time >= :moment))
