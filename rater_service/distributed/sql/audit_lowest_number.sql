-- As audit/lowest_number.sql: what is known of pruned events is not on the producer's node, so it is read apart.
-- :producer_id: whose number, :moment: the moment.
WITH pruned AS MATERIALIZED (
    SELECT min(lower(pruned_number.numbers)) AS lowest
    FROM pruned_number
    JOIN pruned_event_range AS range ON range.id = pruned_number.range_id
    WHERE pruned_number.producer_id = :producer_id AND range.first_event_time >= :moment
)
SELECT least(lowest_number_stored(:producer_id, :moment::timestamptz), (SELECT lowest FROM pruned))
