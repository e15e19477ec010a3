-- Parts without the event of their exchange, and exchanges whose parts are not those they say they have: one row for each
-- of the first of a kind, with how many there are of the kind.
-- :window_start, :window_end: the part of the window, its end exclusive; :limit: how many rows of a kind.
--
-- An exchange and its parts have one event_time and numbers in a row, and their producer wrote them at once. What is
-- missing together with its number is on its way or lost: that is what the audit of numbers says, and not told here.
WITH event AS (
    SELECT request_id, part_of, part_count, producer_id, producer_seq, event_time
    FROM stored_event
    WHERE event_time >= :window_start AND event_time < :window_end AND (part_of IS NOT NULL OR part_count > 0)
), part AS (
    SELECT part_of, event_time, count(*) AS parts, min(producer_id) AS producer_id, min(producer_seq) AS first_seq
    FROM event
    WHERE part_of IS NOT NULL
    GROUP BY part_of, event_time
), suspect AS (
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
), found AS (
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
                SELECT
                FROM stored_event
                WHERE stored_event.producer_id = suspect.producer_id AND producer_seq = number
                    -- By stretches, as in lowest_number.sql.
                    AND producer_seq >> 8 = number >> 8)
            AND NOT EXISTS (
                SELECT
                FROM rejected_event
                WHERE rejected_event.producer_id = suspect.producer_id AND producer_seq = number))
)
SELECT *
FROM found
WHERE place <= :limit
ORDER BY kind, place
