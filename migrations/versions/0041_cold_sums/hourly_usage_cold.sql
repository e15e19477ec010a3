-- The sums of hours to which hardly any event is added any more. Who reads hourly_usage reads these with it, and nobody adds
-- here, so no page has room left for the next version of its rows. What is aligned stands first, so that nothing is left
-- empty between columns. All that reads it reads whole hours, which stand together. Several rows of a key add up, as in
-- hourly_usage.
CREATE TABLE hourly_usage_cold (
    window_start           timestamptz NOT NULL,
    event_count            bigint NOT NULL,
    excess_cached_events   bigint NOT NULL,
    first_stored_at        timestamptz NOT NULL,
    last_stored_at         timestamptz NOT NULL,
    partial_usage_events   bigint,
    unbilled_events        bigint NOT NULL DEFAULT 0,
    echoed_events          bigint NOT NULL DEFAULT 0,
    slot                   smallint NOT NULL DEFAULT 0,
    usage_found            boolean NOT NULL,
    model_untrusted        boolean NOT NULL,
    completed              boolean NOT NULL,
    auth_id                text,
    resource_id            text,
    model_id               text,
    base_model             text,
    prompt_tokens          numeric(38, 0) NOT NULL,
    cached_tokens          numeric(38, 0) NOT NULL,
    completion_tokens      numeric(38, 0) NOT NULL,
    billable_prompt_tokens numeric(38, 0) NOT NULL,
    excess_cached_tokens   numeric(38, 0) NOT NULL,
    unbilled_bytes         numeric(38, 0) NOT NULL DEFAULT 0,
    echoed_tokens          numeric(38, 0) NOT NULL DEFAULT 0,
    CONSTRAINT hourly_usage_no_empty_text CHECK (
        '' <> ALL (ARRAY[auth_id, resource_id, model_id, base_model])),
    CONSTRAINT hourly_usage_whole_hour CHECK (window_start = date_trunc('hour', window_start, 'UTC')),
    CONSTRAINT hourly_usage_counts CHECK (
        event_count >= 0 AND prompt_tokens >= 0 AND cached_tokens >= 0 AND completion_tokens >= 0
        AND billable_prompt_tokens BETWEEN 0 AND prompt_tokens
        AND excess_cached_events BETWEEN 0 AND event_count AND excess_cached_tokens >= excess_cached_events),
    CONSTRAINT hourly_usage_partial CHECK (partial_usage_events BETWEEN 0 AND event_count),
    CONSTRAINT hourly_usage_unbilled CHECK (
        unbilled_events BETWEEN 0 AND event_count AND unbilled_bytes >= unbilled_events),
    CONSTRAINT hourly_usage_echoed CHECK (
        echoed_events BETWEEN 0 AND event_count AND echoed_tokens BETWEEN 0 AND prompt_tokens + completion_tokens),
    CONSTRAINT hourly_usage_slot CHECK (slot BETWEEN 0 AND 63),
    -- So that who looks for sums in other slots need not look here.
    CONSTRAINT hourly_usage_cold_slot CHECK (slot = 0)
);

CREATE INDEX hourly_usage_cold_hour ON hourly_usage_cold (window_start);

-- As of hourly_usage, and for its reasons.
ALTER TABLE hourly_usage_cold REPLICA IDENTITY FULL;

ALTER TABLE hourly_usage_cold INHERIT hourly_usage;
