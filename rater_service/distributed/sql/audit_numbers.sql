-- As audit/numbers.sql: what was kept aside or pruned is not on the producer's node, so it is read apart.
-- :producer_id: whose numbers, :after: those after this one, :up_to: up to this one, :limit: how many stored events at
-- most.
WITH stretch AS MATERIALIZED (
    SELECT CASE WHEN count(*) < :limit THEN :up_to ELSE max(producer_seq) END AS stretch_end
    FROM (
        SELECT producer_seq
        FROM stored_event
        WHERE producer_id = :producer_id AND producer_seq > :after AND producer_seq <= :up_to
            AND producer_seq >> 8 BETWEEN :after::bigint >> 8 AND :up_to::bigint >> 8
        ORDER BY producer_seq >> 8, producer_seq
        LIMIT :limit
    ) AS first
), stored AS MATERIALIZED (
    SELECT producer_seq, count(*) AS events
    FROM stored_event
    WHERE producer_id = :producer_id AND producer_seq > :after AND producer_seq <= (SELECT stretch_end FROM stretch)
        AND producer_seq >> 8 BETWEEN :after::bigint >> 8 AND (SELECT stretch_end >> 8 FROM stretch)
    GROUP BY producer_seq
), pruned AS MATERIALIZED (
    SELECT coalesce(range_agg(numbers), '{}') * int8multirange(
        int8range(:after + 1, nullif((SELECT stretch_end FROM stretch), 9223372036854775807) + 1)) AS numbers
    FROM pruned_number
    WHERE producer_id = :producer_id
), pruned_count AS MATERIALIZED (
    SELECT coalesce(sum(coalesce(upper(gapless)::numeric, 9223372036854775808) - lower(gapless)), 0)::bigint AS numbers
    FROM pruned
    CROSS JOIN unnest(pruned.numbers) AS gapless
), aside AS MATERIALIZED (
    SELECT producer_seq, lower(request_id COLLATE "C") AS request_id
    FROM rejected_event
    WHERE producer_id = :producer_id AND producer_seq > :after AND producer_seq <= (SELECT stretch_end FROM stretch)
), same AS MATERIALIZED (
    SELECT stored_event.producer_seq, request_id::text AS request_id
    FROM stored_event
    WHERE producer_id = :producer_id
        AND producer_seq IN (SELECT producer_seq FROM aside)
        AND producer_seq >> 8 BETWEEN :after >> 8 AND (SELECT stretch_end >> 8 FROM stretch)
), kept AS MATERIALIZED (
    -- An event that conflicts with a stored one, or was stored at a second attempt, has that one's id.
    SELECT producer_seq, count(DISTINCT request_id) FILTER (WHERE same.request_id IS NULL) AS events
    FROM aside
    LEFT JOIN same USING (producer_seq, request_id)
    GROUP BY producer_seq
)
SELECT
    (SELECT stretch_end FROM stretch) AS stretch_end,
    count(*) FILTER (WHERE NOT is_pruned) + (SELECT numbers FROM pruned_count) AS present,
    count(stored.producer_seq) FILTER (WHERE NOT is_pruned) + (SELECT numbers FROM pruned_count) AS stored,
    (SELECT numbers FROM pruned_count) AS pruned,
    count(*) FILTER (WHERE
        coalesce(stored.events, 0) + CASE WHEN is_pruned THEN 1 ELSE coalesce(kept.events, 0) END > 1) AS repeated
FROM stored
FULL JOIN kept USING (producer_seq)
CROSS JOIN LATERAL (SELECT producer_seq <@ (SELECT numbers FROM pruned) AS is_pruned) AS known
