-- What clients were given and is not billed: how many events, how many bytes of answers, of how many customers; and those
-- with most.
ALTER TABLE rating_run
    ADD COLUMN unbilled_output_events bigint NOT NULL DEFAULT 0,
    ADD COLUMN unbilled_output_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN unbilled_output_auth_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN unbilled_output_by_auth jsonb NOT NULL DEFAULT '[]';
