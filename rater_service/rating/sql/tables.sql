-- The working tables of one rating run; they end with its transaction. They are few: to make one takes as long as a
-- statement that fills it.
--
-- rating_bucket: sums over the events of the window that agree in everything that decides their price.
-- category: which of the six counts of the run the events belong to, or 'model_untrusted', which is counted with
-- 'unattributable' but reported apart; 'unpriced' becomes 'rated' once a price is found. excess: reported cached
-- tokens beyond the prompts', which are in no other sum; excess_events: how many events have such; partial_events: how
-- many have usage that lacks a count. unbilled_bytes: of answers that clients were given a part of and that have no usage,
-- of unbilled_events. echoed_tokens: of events whose model's name may only repeat the client's; echoed_events: how many.
-- Sums are exact numerics: adding up can't overflow.
CREATE TEMP TABLE rating_bucket (
    category        text NOT NULL,
    auth_id         text,
    resource_id     text,
    model_id        text,
    base_model      text,
    window_start    timestamptz NOT NULL,
    event_count     bigint NOT NULL,
    prompt          numeric NOT NULL,
    cached          numeric NOT NULL,
    completion      numeric NOT NULL,
    billable        numeric NOT NULL,
    excess_events   bigint NOT NULL,
    excess          numeric NOT NULL,
    partial_events  bigint NOT NULL,
    unbilled_events bigint NOT NULL,
    unbilled_bytes  numeric NOT NULL,
    echoed_events   bigint NOT NULL,
    echoed_tokens   numeric NOT NULL,
    prompt_rate     numeric,
    cached_rate     numeric,
    completion_rate numeric,
    price_book      text,
    price_from      timestamptz,
    no_price_reason text
) ON COMMIT DROP;

-- rating_recorded: the rollups that the window has by the ledger; run is the one that wrote them last.
CREATE TEMP TABLE rating_recorded (
    id                      bigint NOT NULL,
    run                     bigint NOT NULL,
    auth_id                 text NOT NULL,
    resource_id             text NOT NULL,
    model_id                text NOT NULL,
    window_start            timestamptz NOT NULL,
    prompt_tokens           bigint NOT NULL,
    cached_tokens           bigint NOT NULL,
    completion_tokens       bigint NOT NULL,
    billable_prompt_tokens  bigint NOT NULL,
    cost                    numeric NOT NULL,
    applied_prompt_rate     numeric NOT NULL,
    applied_cached_rate     numeric NOT NULL,
    applied_completion_rate numeric NOT NULL,
    event_count             bigint NOT NULL,
    base_model              text,
    price_book              text NOT NULL
) ON COMMIT DROP;

-- rating_change: the rollups of the window, and how rated_usage (old) differs from what it must be (new); kind is
-- 'insert', 'update', 'delete' or 'same'. rollup: the id of the row, once it has one. tampering: how the row differs from what the ledger says of
-- it, NULL if it does not, as it should be; tampered_cost: by how much money.
CREATE TEMP TABLE rating_change (
    kind                        text NOT NULL,
    tampering                   text,
    tampered_cost               numeric NOT NULL,
    rollup                      bigint,
    auth_id                     text NOT NULL,
    resource_id                 text NOT NULL,
    model_id                    text NOT NULL,
    window_start                timestamptz NOT NULL,
    old_prompt_tokens           bigint,
    old_cached_tokens           bigint,
    old_completion_tokens       bigint,
    old_billable_prompt_tokens  bigint,
    old_cost                    numeric,
    old_applied_prompt_rate     numeric,
    old_applied_cached_rate     numeric,
    old_applied_completion_rate numeric,
    old_event_count             bigint,
    old_base_model              text,
    old_price_book              text,
    old_run                     bigint,
    new_prompt_tokens           numeric,
    new_cached_tokens           numeric,
    new_completion_tokens       numeric,
    new_billable_prompt_tokens  numeric,
    new_cost                    numeric,
    new_applied_prompt_rate     numeric,
    new_applied_cached_rate     numeric,
    new_applied_completion_rate numeric,
    new_event_count             bigint,
    new_base_model              text,
    new_price_book              text
) ON COMMIT DROP;
