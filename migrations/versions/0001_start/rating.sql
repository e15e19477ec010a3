-- The runs, kept for ever: who asked for each (requested_by), what it knew (knowledge_at) and all it answered.
CREATE TABLE rating_run (
    id                        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mode                      text NOT NULL,
    window_start              timestamptz NOT NULL,
    window_end                timestamptz NOT NULL,
    window_open               boolean NOT NULL,
    dry_run                   boolean NOT NULL,
    reprice                   boolean NOT NULL,
    requested_by              text NOT NULL,
    knowledge_at              timestamptz NOT NULL,
    events_in_window          bigint NOT NULL,
    events_rated              bigint NOT NULL,
    unpriced_events           bigint NOT NULL,
    unattributable_events     bigint NOT NULL,
    ambiguous_base_events     bigint NOT NULL,
    missing_usage_events      bigint NOT NULL,
    zero_charge_events        bigint NOT NULL,
    rollups_written           bigint NOT NULL,
    rollups_unchanged         bigint NOT NULL,
    reconciled_deletions      bigint NOT NULL,
    total_cost                numeric NOT NULL,
    anomalies                 jsonb NOT NULL,
    price_books               text[] NOT NULL,
    incomplete_producer_count bigint NOT NULL,
    incomplete_producers      jsonb NOT NULL,
    started_at                timestamptz NOT NULL,
    finished_at               timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT rating_run_mode CHECK (mode IN ('ROUTINE', 'BACKFILL')),
    CONSTRAINT rating_run_window CHECK (window_start < window_end),
    CONSTRAINT rating_run_no_empty_text CHECK (requested_by <> ''),
    CONSTRAINT rating_run_every_event_once CHECK (
        events_in_window = events_rated + unpriced_events + unattributable_events + ambiguous_base_events
                           + missing_usage_events + zero_charge_events)
);

-- The rollups: what bills. A run is kept by its last statement, after the rows that name it: whether there is such a
-- run is asked at the end of the transaction. 40 digits hold three times the largest bigint at the largest rate.
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
    run                     bigint NOT NULL REFERENCES rating_run DEFERRABLE INITIALLY DEFERRED,
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
);

-- The readers are the pages of ListRatedUsage for one auth_id or one resource_id, in page order.
CREATE INDEX rated_usage_auth ON rated_usage (auth_id, window_start, resource_id, model_id);
CREATE INDEX rated_usage_resource ON rated_usage (resource_id, window_start, auth_id, model_id);

-- The ledger: every row that a run changed, old and new. The values are those of rated_usage by these names, under the
-- same rules. The key that allows one change of a rollup in a run also finds the last one, which every run reads for
-- its window.
CREATE TABLE rated_usage_change (
    id                          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run                         bigint NOT NULL REFERENCES rating_run DEFERRABLE INITIALLY DEFERRED,
    kind                        text NOT NULL,
    rollup                      bigint NOT NULL,
    window_start                timestamptz NOT NULL,
    auth_id                     text NOT NULL,
    resource_id                 text NOT NULL,
    model_id                    text NOT NULL,
    old_prompt_tokens           bigint,
    old_cached_tokens           bigint,
    old_completion_tokens       bigint,
    old_billable_prompt_tokens  bigint,
    old_cost                    numeric(40, 9),
    old_applied_prompt_rate     numeric(20, 9),
    old_applied_cached_rate     numeric(20, 9),
    old_applied_completion_rate numeric(20, 9),
    old_event_count             bigint,
    old_base_model              text,
    old_price_book              text,
    old_run                     bigint,
    new_prompt_tokens           bigint,
    new_cached_tokens           bigint,
    new_completion_tokens       bigint,
    new_billable_prompt_tokens  bigint,
    new_cost                    numeric(40, 9),
    new_applied_prompt_rate     numeric(20, 9),
    new_applied_cached_rate     numeric(20, 9),
    new_applied_completion_rate numeric(20, 9),
    new_event_count             bigint,
    new_base_model              text,
    new_price_book              text,
    CONSTRAINT rated_usage_change_once UNIQUE (window_start, auth_id, resource_id, model_id, run),
    CONSTRAINT rated_usage_change_kind CHECK (kind IN ('INSERT', 'UPDATE', 'DELETE')),
    CONSTRAINT rated_usage_change_old CHECK (
        num_nonnulls(old_prompt_tokens, old_cached_tokens, old_completion_tokens, old_billable_prompt_tokens,
                     old_cost, old_applied_prompt_rate, old_applied_cached_rate, old_applied_completion_rate,
                     old_event_count, old_price_book, old_run) = CASE kind WHEN 'INSERT' THEN 0 ELSE 11 END
        AND (kind <> 'INSERT' OR old_base_model IS NULL)),
    CONSTRAINT rated_usage_change_new CHECK (
        num_nonnulls(new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens,
                     new_cost, new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate,
                     new_event_count, new_price_book) = CASE kind WHEN 'DELETE' THEN 0 ELSE 10 END
        AND (kind <> 'DELETE' OR new_base_model IS NULL)),
    CONSTRAINT rated_usage_change_cost_explained CHECK (
        new_cost = new_billable_prompt_tokens * new_applied_prompt_rate
                   + new_cached_tokens * new_applied_cached_rate
                   + new_completion_tokens * new_applied_completion_rate),
    CONSTRAINT rated_usage_change_no_empty_text CHECK (
        '' <> ALL (ARRAY[auth_id, resource_id, model_id, old_base_model, new_base_model]))
);

-- Runs and the ledger are written once.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END
$$;

CREATE TRIGGER rating_run_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rating_run
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER rated_usage_change_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rated_usage_change
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
