-- Keeps what is to be known of events that are dropped in the same transaction.
-- $1: partition, $2: first id, $3: first id after them (NULL: no bound), $4: events, $5 to $7: their prompt, cached and
-- completion tokens, $8: the time of the first, $9: of the last, $10: differences that were accepted, $11: file they
-- were exported to, $12: its SHA-256, $13: who, $14: now, $15: producer ids, $16: the numbers of each,
-- as the text of an int8multirange.
WITH pruned AS (
    INSERT INTO pruned_event_range (
        partition_name, lower_id, upper_id, event_count, prompt_tokens, cached_tokens, completion_tokens,
        first_event_time, last_event_time, window_start, window_end,
        accepted, export_path, export_sha256, pruned_by, pruned_at)
    VALUES (
        $1, $2, $3, $4, $5, $6, $7,
        $8, $9, date_trunc('hour', $8::timestamptz, 'UTC'),
        date_trunc('hour', $9::timestamptz, 'UTC') + interval '1 hour',
        $10, $11, $12, $13, $14)
    RETURNING id
)
INSERT INTO pruned_number (range_id, producer_id, numbers)
SELECT pruned.id, had.producer_id, had.numbers::int8multirange
FROM pruned
CROSS JOIN unnest($15::text[], $16::text[]) AS had (producer_id, numbers)
