-- Events, stored or kept aside, whose personal fields were erased. One that is sent again has them still: it must be
-- known for the same event, and must not bring them back.
CREATE TABLE forgotten_event (
    request_id text PRIMARY KEY,
    erasure    bigint NOT NULL
);

-- What was erased, when and by whom, without the name of the person.
CREATE TABLE erasure (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chosen_by       text NOT NULL,
    erased_by       text NOT NULL,
    erased_at       timestamptz NOT NULL,
    finished_at     timestamptz,
    event_count     bigint NOT NULL DEFAULT 0,
    rejected_count  bigint NOT NULL DEFAULT 0,
    CONSTRAINT erasure_chosen_by CHECK (chosen_by IN ('user_id', 'auth_id', 'client_request_id')),
    CONSTRAINT erasure_no_empty_text CHECK (erased_by <> ''),
    CONSTRAINT erasure_counts CHECK (event_count >= 0 AND rejected_count >= 0)
);
