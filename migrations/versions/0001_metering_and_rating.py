"""Billing events, price books, rating runs and rated usage.

Text columns never hold '': a text that is not known is NULL, and the constraints named `..._no_empty_text`
keep it so. Token counts end at 2^53 for a single event.
"""

from alembic import op

revision = "0001"
down_revision = None

BILLING_EVENT = """
CREATE TABLE billing_event (
    request_id        uuid PRIMARY KEY,
    client_request_id text,
    producer_id       text,
    producer_seq      bigint,
    auth_id           text,
    user_id           text,
    group_id          text,
    resource_id       text,
    resource_type     text,
    base_model        text,
    model_id          text,
    requested_model   text,
    api               text,
    prompt_tokens     bigint,
    cached_tokens     bigint,
    completion_tokens bigint,
    reasoning_tokens  bigint,
    usage_found       boolean NOT NULL,
    usage_raw         text,
    outcome           text NOT NULL,
    status_code       smallint,
    finish_reason     text,
    streamed          boolean NOT NULL,
    event_time        timestamptz NOT NULL,
    start_time        timestamptz,
    first_byte_time   timestamptz,
    stored_at         timestamptz NOT NULL,
    CONSTRAINT billing_event_no_empty_text CHECK (
        '' <> ALL (ARRAY[client_request_id, producer_id, auth_id, user_id, group_id, resource_id,
                         resource_type, base_model, model_id, requested_model, api, usage_raw, outcome,
                         finish_reason])),
    CONSTRAINT billing_event_producer_seq CHECK (producer_seq > 0),
    CONSTRAINT billing_event_counts CHECK (
        prompt_tokens BETWEEN 0 AND 9007199254740992 AND cached_tokens BETWEEN 0 AND 9007199254740992
        AND completion_tokens BETWEEN 0 AND 9007199254740992
        AND reasoning_tokens BETWEEN 0 AND 9007199254740992),
    CONSTRAINT billing_event_usage CHECK (
        CASE WHEN usage_found THEN num_nonnulls(prompt_tokens, completion_tokens) > 0
             ELSE num_nonnulls(prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens) = 0 END),
    CONSTRAINT billing_event_outcome CHECK (
        outcome IN ('completed', 'aborted', 'upstream_error', 'proxy_error')),
    CONSTRAINT billing_event_status_code CHECK (status_code BETWEEN 100 AND 599),
    CONSTRAINT billing_event_times CHECK (
        event_time >= '2000-01-01 00:00:00+00' AND event_time < '2100-01-01 00:00:00+00')
)
"""

BILLING_EVENT_BY_TIME = "CREATE INDEX billing_event_event_time ON billing_event (event_time)"

REJECTED_EVENT = """
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
    CONSTRAINT rejected_event_once UNIQUE (event_sha256),
    CONSTRAINT rejected_event_kind CHECK (kind IN ('REJECTED', 'CONFLICT')),
    CONSTRAINT rejected_event_no_empty_text CHECK ('' <> ALL (ARRAY[request_id, reason, producer_id]))
)
"""

PRICE_BOOK = """
CREATE TABLE price_book (
    content_hash   text PRIMARY KEY,
    content        bytea NOT NULL,
    source         text NOT NULL,
    loaded_at      timestamptz NOT NULL,
    effective_from timestamptz,
    in_force_from  timestamptz,
    CONSTRAINT price_book_content_hash CHECK (content_hash = encode(sha256(content), 'hex')),
    CONSTRAINT price_book_no_empty_text CHECK (source <> '')
)
"""

RATING_RUN = """
CREATE TABLE rating_run (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mode                  text NOT NULL,
    window_start          timestamptz NOT NULL,
    window_end            timestamptz NOT NULL,
    window_open           boolean NOT NULL,
    dry_run               boolean NOT NULL,
    reprice               boolean NOT NULL,
    events_in_window      bigint NOT NULL,
    events_rated          bigint NOT NULL,
    unpriced_events       bigint NOT NULL,
    unattributable_events bigint NOT NULL,
    ambiguous_base_events bigint NOT NULL,
    missing_usage_events  bigint NOT NULL,
    zero_charge_events    bigint NOT NULL,
    rollups_written       bigint NOT NULL,
    rollups_unchanged     bigint NOT NULL,
    reconciled_deletions  bigint NOT NULL,
    total_cost            numeric NOT NULL,
    anomalies             jsonb NOT NULL,
    price_books           text[] NOT NULL,
    started_at            timestamptz NOT NULL,
    finished_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT rating_run_mode CHECK (mode IN ('ROUTINE', 'BACKFILL')),
    CONSTRAINT rating_run_window CHECK (window_start < window_end),
    CONSTRAINT rating_run_every_event_once CHECK (
        events_in_window = events_rated + unpriced_events + unattributable_events + ambiguous_base_events
                           + missing_usage_events + zero_charge_events)
)
"""

# 40 digits hold three times the largest bigint at the largest rate.
RATED_USAGE = """
CREATE TABLE rated_usage (
    id                      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    auth_id                 text NOT NULL,
    resource_id             text NOT NULL,
    model_id                text NOT NULL,
    window_start            timestamptz NOT NULL,
    window_end              timestamptz NOT NULL,
    prompt_tokens           bigint NOT NULL,
    cached_tokens           bigint NOT NULL,
    completion_tokens       bigint NOT NULL,
    billable_prompt_tokens  bigint NOT NULL,
    cost                    numeric(40, 9) NOT NULL,
    applied_prompt_rate     numeric(20, 9) NOT NULL,
    applied_cached_rate     numeric(20, 9) NOT NULL,
    applied_completion_rate numeric(20, 9) NOT NULL,
    event_count             bigint NOT NULL,
    base_model              text,
    price_book              text NOT NULL REFERENCES price_book,
    run                     bigint NOT NULL REFERENCES rating_run,
    rated_at                timestamptz NOT NULL,
    CONSTRAINT rated_usage_rollup UNIQUE (window_start, auth_id, resource_id, model_id),
    CONSTRAINT rated_usage_no_empty_text CHECK (
        '' <> ALL (ARRAY[auth_id, resource_id, model_id, base_model])),
    CONSTRAINT rated_usage_whole_hour CHECK (
        window_start = date_trunc('hour', window_start, 'UTC')
        AND window_end = window_start + interval '1 hour'),
    CONSTRAINT rated_usage_counts CHECK (
        prompt_tokens >= 0 AND cached_tokens >= 0 AND completion_tokens >= 0 AND billable_prompt_tokens >= 0
        AND billable_prompt_tokens <= prompt_tokens AND event_count > 0),
    CONSTRAINT rated_usage_rates CHECK (
        applied_prompt_rate >= 0 AND applied_cached_rate >= 0 AND applied_completion_rate >= 0),
    CONSTRAINT rated_usage_cost_explained CHECK (
        cost = billable_prompt_tokens * applied_prompt_rate + cached_tokens * applied_cached_rate
               + completion_tokens * applied_completion_rate)
)
"""

# The readers are the pages of ListRatedUsage for one auth_id or one resource_id, in page order.
RATED_USAGE_BY_AUTH = (
    "CREATE INDEX rated_usage_auth ON rated_usage (auth_id, window_start, resource_id, model_id)"
)
RATED_USAGE_BY_RESOURCE = (
    "CREATE INDEX rated_usage_resource ON rated_usage (resource_id, window_start, auth_id, model_id)"
)


def upgrade() -> None:
    """Create the tables."""
    for statement in (
        BILLING_EVENT,
        BILLING_EVENT_BY_TIME,
        REJECTED_EVENT,
        PRICE_BOOK,
        RATING_RUN,
        RATED_USAGE,
        RATED_USAGE_BY_AUTH,
        RATED_USAGE_BY_RESOURCE,
    ):
        op.execute(statement)
