-- As audit/parts.sql: which of the suspects' numbers are here is asked of all nodes at once.
-- :window_start, :window_end: the part of the window, its end exclusive; :limit: how many rows of a kind.
WITH event AS MATERIALIZED (
    SELECT request_id, part_of, part_count, producer_id, producer_seq, event_time
    FROM stored_event
    WHERE event_time >= :window_start AND event_time < :window_end AND (part_of IS NOT NULL OR part_count > 0)
), part AS MATERIALIZED (
    SELECT part_of, event_time, count(*) AS parts, min(producer_id) AS producer_id, min(producer_seq) AS first_seq
    FROM event
    WHERE part_of IS NOT NULL
    GROUP BY part_of, event_time
), suspect AS MATERIALIZED (
    SELECT
        'PART_WITHOUT_EVENT' AS kind,
        part.part_of AS request_id,
        format('it is not here, and parts of it are: %s', part.parts) AS detail,
        part.producer_id,
        part.first_seq - 1 AS first_absent,
        part.first_seq - 1 AS last_absent
    FROM part
    WHERE NOT EXISTS (
        SELECT
        FROM event AS own
        WHERE own.request_id = part.part_of AND own.event_time = part.event_time AND own.part_count > 0)
    UNION ALL
    SELECT
        'PARTS_DIFFER' AS kind,
        own.request_id,
        format('parts that it says it has: %s, here: %s', own.part_count, coalesce(part.parts, 0)) AS detail,
        own.producer_id,
        own.producer_seq + 1 AS first_absent,
        own.producer_seq + own.part_count AS last_absent
    FROM event AS own
    LEFT JOIN part ON part.part_of = own.request_id AND part.event_time = own.event_time
    WHERE own.part_count > 0 AND coalesce(part.parts, 0) <> own.part_count
), absent AS MATERIALIZED (
    SELECT DISTINCT suspect.producer_id, number
    FROM suspect
    CROSS JOIN LATERAL generate_series(first_absent, last_absent) AS number
    WHERE number > 0
), here AS MATERIALIZED (
    SELECT stored_event.producer_id, producer_seq AS number
    FROM stored_event
    -- By stretches, as in lowest_number.sql.
    JOIN absent ON absent.producer_id = stored_event.producer_id AND number = producer_seq AND number >> 8 = producer_seq >> 8
), found AS MATERIALIZED (
    SELECT
        kind, request_id, detail,
        count(*) OVER (PARTITION BY kind) AS events,
        row_number() OVER (PARTITION BY kind ORDER BY request_id) AS place
    FROM suspect
    WHERE NOT EXISTS (
        SELECT
        FROM generate_series(first_absent, last_absent) AS number
        WHERE number > 0
            AND NOT EXISTS (
                SELECT FROM here WHERE here.producer_id = suspect.producer_id AND here.number = number.number)
            AND NOT EXISTS (
                SELECT
                FROM rejected_event
                WHERE rejected_event.producer_id = suspect.producer_id AND producer_seq = number.number))
)
SELECT *
FROM found
WHERE place <= :limit
ORDER BY kind, place
