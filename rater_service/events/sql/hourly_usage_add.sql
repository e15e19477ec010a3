-- Adds sums to those of the same keys in a slot of this transaction's own, and notes the hours as touched. Returns how many
-- of the partitions that took the events still are partitions of stored_event: no event may end beside it; and how many of the
-- patterns that the events rely on are there.
-- :hours, :auth_ids, :resource_ids, :model_ids, :base_models, :usage_founds, :model_untrusteds, :completeds: the keys, each
-- once, hours as numbers since 1970; for each of them, or empty if all are 0: :event_counts, :prompt_tokens, :cached_tokens,
-- :completion_tokens, :excess_cached_events, :excess_cached_tokens, :partial_usage_events, :unbilled_events,
-- :unbilled_bytes, :echoed_events, :echoed_tokens; {sum_type}: the type of all these. :stored_at: when the events were stored.
-- :partitions: which partitions took the events, by their numbers in the catalog; :numbers: the patterns by their numbers,
-- :digests: what each is.
--
-- A key's row is rewritten by every batch that has the slot and adds to it. In the order of the key: where raters that know
-- of no slots run as well, they and this wait for each other but never deadlock.
WITH held AS MATERIALIZED (
    SELECT hourly_usage_slot() AS slot
), sent AS MATERIALIZED (
    SELECT
        to_timestamp(hour * 3600) AS window_start, auth_id, resource_id, model_id, base_model,
        usage_found, model_untrusted, completed,
        coalesce(event_count, 0) AS event_count,
        coalesce(prompt_tokens, 0) AS prompt_tokens,
        coalesce(cached_tokens, 0) AS cached_tokens,
        coalesce(completion_tokens, 0) AS completion_tokens,
        coalesce(excess_cached_events, 0) AS excess_cached_events,
        coalesce(excess_cached_tokens, 0) AS excess_cached_tokens,
        coalesce(partial_usage_events, 0) AS partial_usage_events,
        coalesce(unbilled_events, 0) AS unbilled_events,
        coalesce(unbilled_bytes, 0) AS unbilled_bytes,
        coalesce(echoed_events, 0) AS echoed_events,
        coalesce(echoed_tokens, 0) AS echoed_tokens
    FROM unnest(
        :hours::bigint[], :auth_ids::text[], :resource_ids::text[], :model_ids::text[], :base_models::text[],
        :usage_founds::boolean[], :model_untrusteds::boolean[], :completeds::boolean[],
        :event_counts::{sum_type}[], :prompt_tokens::{sum_type}[], :cached_tokens::{sum_type}[],
        :completion_tokens::{sum_type}[], :excess_cached_events::{sum_type}[], :excess_cached_tokens::{sum_type}[],
        :partial_usage_events::{sum_type}[], :unbilled_events::{sum_type}[], :unbilled_bytes::{sum_type}[],
        :echoed_events::{sum_type}[], :echoed_tokens::{sum_type}[]
    ) AS sent (
        hour, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed, event_count,
        prompt_tokens, cached_tokens, completion_tokens, excess_cached_events, excess_cached_tokens,
        partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens)
), added AS (
    INSERT INTO hourly_usage AS known
        (window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
         event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, excess_cached_events,
         excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens,
         first_stored_at, last_stored_at, slot /*by producer:, producer_id */)
    SELECT
        window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed,
        event_count, prompt_tokens, cached_tokens, completion_tokens,
        prompt_tokens - cached_tokens AS billable_prompt_tokens,
        excess_cached_events, excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes,
        echoed_events, echoed_tokens,
        :stored_at::timestamptz AS first_stored_at, :stored_at AS last_stored_at, (SELECT slot FROM held) AS slot
        /*by producer:, :producer_id::text AS producer_id */
    FROM sent
    ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
    ON CONFLICT ON CONSTRAINT hourly_usage_key DO UPDATE
    SET event_count = known.event_count + EXCLUDED.event_count,
        prompt_tokens = known.prompt_tokens + EXCLUDED.prompt_tokens,
        cached_tokens = known.cached_tokens + EXCLUDED.cached_tokens,
        completion_tokens = known.completion_tokens + EXCLUDED.completion_tokens,
        billable_prompt_tokens = known.billable_prompt_tokens + EXCLUDED.billable_prompt_tokens,
        excess_cached_events = known.excess_cached_events + EXCLUDED.excess_cached_events,
        excess_cached_tokens = known.excess_cached_tokens + EXCLUDED.excess_cached_tokens,
        first_stored_at = least(known.first_stored_at, EXCLUDED.first_stored_at),
        last_stored_at = greatest(known.last_stored_at, EXCLUDED.last_stored_at),
        partial_usage_events = known.partial_usage_events + EXCLUDED.partial_usage_events,
        unbilled_events = known.unbilled_events + EXCLUDED.unbilled_events,
        unbilled_bytes = known.unbilled_bytes + EXCLUDED.unbilled_bytes,
        echoed_events = known.echoed_events + EXCLUDED.echoed_events,
        echoed_tokens = known.echoed_tokens + EXCLUDED.echoed_tokens
), touched AS (
    INSERT INTO touched_hour (window_start, touched_in, slot /*by producer:, producer_id */)
    SELECT DISTINCT
        window_start,
        (SELECT date_trunc('hour', clock_timestamp(), 'UTC')) AS touched_in,
        (SELECT slot FROM held) AS slot
        /*by producer:, :producer_id::text AS producer_id */
    FROM sent
    ORDER BY window_start
    ON CONFLICT DO NOTHING
)
SELECT
    (
        SELECT count(*)
        FROM pg_inherits
        WHERE inhrelid IN (SELECT number::oid FROM unnest(:partitions::bigint[]) AS number)
            AND inhparent = 'stored_event'::regclass AND NOT inhdetachpending) AS partitions,
    (
        SELECT count(*)
        FROM unnest(:numbers::integer[], :digests::bytea[]) AS used (number, digest)
        JOIN event_pattern USING (number, digest)) AS patterns
