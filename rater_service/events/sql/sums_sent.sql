-- The sums of a batch as rows, for hourly_usage_add.sql and its form for distributed databases.
-- :hours, :auth_ids, :resource_ids, :model_ids, :base_models, :usage_founds, :model_untrusteds, :completeds: the keys, each
-- once, hours as numbers since 1970; for each of them, or empty if all are 0: :event_counts, :prompt_tokens, :cached_tokens,
-- :completion_tokens, :excess_cached_events, :excess_cached_tokens, :partial_usage_events, :unbilled_events,
-- :unbilled_bytes, :echoed_events, :echoed_tokens; {sum_type}: the type of all these.
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
