-- Keeps what is to be known of events that are dropped in the same transaction. Gives the number of the row.
-- :partition_name: where they are; :lower_id, :upper_id: its first id, and the first after it (NULL: no bound);
-- :event_count: how many events, with :prompt_tokens, :cached_tokens, :completion_tokens; :first_event_time and
-- :last_event_time: of the first and the last, :window_start and :window_end: the whole hours around them; :accepted:
-- differences that were accepted; :export_path, :export_sha256: the file they were exported to; :pruned_by: who;
-- :pruned_at: now; :producer_ids: whose they are, and :numbers: the numbers of each, as the text of an int8multirange.
WITH pruned AS (
    INSERT INTO pruned_event_range
        (partition_name, lower_id, upper_id, event_count, prompt_tokens, cached_tokens, completion_tokens,
         first_event_time, last_event_time, window_start, window_end,
         accepted, export_path, export_sha256, pruned_by, pruned_at)
    VALUES
        (:partition_name, :lower_id, :upper_id, :event_count, :prompt_tokens, :cached_tokens, :completion_tokens,
         :first_event_time, :last_event_time, :window_start, :window_end,
         :accepted, :export_path, :export_sha256, :pruned_by, :pruned_at)
    RETURNING id
), known AS (
    INSERT INTO pruned_number (range_id, producer_id, numbers)
    SELECT pruned.id AS range_id, had.producer_id, had.numbers::int8multirange AS numbers
    FROM pruned
    CROSS JOIN unnest(:producer_ids::text[], :numbers::text[]) AS had (producer_id, numbers)
)
SELECT id
FROM pruned
