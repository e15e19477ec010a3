-- What producers say of themselves. Each row is rewritten every few seconds; with room in its page, and no index on
-- what changes, that leaves the index alone.
CREATE TABLE producer (
    producer_id    text PRIMARY KEY,
    first_seen     timestamptz NOT NULL,
    last_seen      timestamptz NOT NULL,
    last_seq       bigint NOT NULL,
    spooled_events bigint NOT NULL,
    open_exchanges bigint NOT NULL,
    complete_until timestamptz,
    stopped        boolean NOT NULL,
    lost_rows      bigint NOT NULL,
    retired        boolean NOT NULL DEFAULT false,
    retired_at     timestamptz,
    retired_by     text,
    CONSTRAINT producer_no_empty_text CHECK ('' <> ALL (ARRAY[producer_id, retired_by])),
    CONSTRAINT producer_counts CHECK (
        last_seq >= 0 AND spooled_events >= 0 AND open_exchanges >= 0 AND lost_rows >= 0),
    CONSTRAINT producer_retired CHECK (
        NOT retired OR (retired_at IS NOT NULL AND retired_by IS NOT NULL))
) WITH (fillfactor = 50);
