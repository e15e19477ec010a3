-- Events, in partitions by week of their ids, so that old ones can be dropped at once. Ids sort by time, if Phoebe made
-- them. Token counts end at 2^53 for a single event.
CREATE TABLE billing_event (
    request_id              uuid PRIMARY KEY,
    client_request_id       text,
    producer_id             text,
    producer_seq            bigint,
    auth_id                 text,
    user_id                 text,
    group_id                text,
    resource_id             text,
    resource_type           text,
    base_model              text,
    model_id                text,
    requested_model         text,
    api                     text,
    prompt_tokens           bigint,
    cached_tokens           bigint,
    completion_tokens       bigint,
    reasoning_tokens        bigint,
    usage_found             boolean NOT NULL,
    usage_raw               text,
    outcome                 text NOT NULL,
    status_code             smallint,
    finish_reason           text,
    streamed                boolean NOT NULL,
    event_time              timestamptz NOT NULL,
    start_time              timestamptz,
    first_byte_time         timestamptz,
    stored_at               timestamptz NOT NULL,
    cache_write_tokens      bigint,
    prompt_audio_tokens     bigint,
    completion_audio_tokens bigint,
    model_untrusted         boolean NOT NULL,
    CONSTRAINT billing_event_no_empty_text CHECK (
        '' <> ALL (ARRAY[client_request_id, producer_id, auth_id, user_id, group_id, resource_id,
                         resource_type, base_model, model_id, requested_model, api, usage_raw, outcome,
                         finish_reason])),
    CONSTRAINT billing_event_producer_seq CHECK (producer_seq > 0),
    CONSTRAINT billing_event_counts CHECK (
        prompt_tokens BETWEEN 0 AND 9007199254740992 AND cached_tokens BETWEEN 0 AND 9007199254740992
        AND completion_tokens BETWEEN 0 AND 9007199254740992
        AND reasoning_tokens BETWEEN 0 AND 9007199254740992),
    CONSTRAINT billing_event_part_counts CHECK (
        cache_write_tokens BETWEEN 0 AND 9007199254740992
        AND prompt_audio_tokens BETWEEN 0 AND 9007199254740992
        AND completion_audio_tokens BETWEEN 0 AND 9007199254740992),
    CONSTRAINT billing_event_usage CHECK (
        CASE WHEN usage_found THEN num_nonnulls(prompt_tokens, completion_tokens) > 0
             ELSE num_nonnulls(prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens) = 0 END),
    CONSTRAINT billing_event_part_usage CHECK (
        usage_found OR num_nonnulls(cache_write_tokens, prompt_audio_tokens, completion_audio_tokens) = 0),
    CONSTRAINT billing_event_outcome CHECK (
        outcome IN ('completed', 'aborted', 'upstream_error', 'proxy_error')),
    CONSTRAINT billing_event_status_code CHECK (status_code BETWEEN 100 AND 599),
    CONSTRAINT billing_event_times CHECK (
        event_time >= '2000-01-01 00:00:00+00' AND event_time < '2100-01-01 00:00:00+00')
) PARTITION BY RANGE (request_id);

CREATE INDEX billing_event_event_time ON billing_event (event_time);

-- The reader is the audit, which looks for numbers that are missing or were given twice.
CREATE INDEX billing_event_producer ON billing_event (producer_id, producer_seq) WHERE producer_seq IS NOT NULL;

-- For ids that no other partition takes: those of weeks without one, and those that some other sender made and that do
-- not sort by time.
CREATE TABLE billing_event_default PARTITION OF billing_event DEFAULT;

-- Events that could not be stored, with the reason: nothing is dropped. resolved_as: what became of one that was tried
-- again.
CREATE TABLE rejected_event (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id   text,
    kind         text NOT NULL,
    reason       text NOT NULL,
    producer_id  text,
    producer_seq bigint,
    event        bytea NOT NULL,
    event_sha256 bytea NOT NULL GENERATED ALWAYS AS (sha256(event)) STORED,
    received_at  timestamptz NOT NULL,
    resolved_at  timestamptz,
    resolved_as  text,
    CONSTRAINT rejected_event_once UNIQUE (event_sha256),
    CONSTRAINT rejected_event_kind CHECK (kind IN ('REJECTED', 'CONFLICT')),
    CONSTRAINT rejected_event_no_empty_text CHECK ('' <> ALL (ARRAY[request_id, reason, producer_id])),
    CONSTRAINT rejected_event_resolved CHECK (
        (resolved_at IS NULL) = (resolved_as IS NULL) AND resolved_as IN ('STORED', 'DUPLICATE'))
);

-- For the audit, like that of billing_event.
CREATE INDEX rejected_event_producer ON rejected_event (producer_id, producer_seq) WHERE producer_seq IS NOT NULL;
