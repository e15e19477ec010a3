-- part_of: the exchange's own event, of which this one is a part. part_count: how many parts the exchange has, in its own
-- event. usage_partial: the usage lacks a count that answers of its API have. Whoever looks for the parts of an event
-- finds them by its event_time, which they share. Rows that are there keep the rules by their defaults: reading them all
-- would hold up batches.
ALTER TABLE billing_event
    ADD COLUMN part_of uuid,
    ADD COLUMN part_count smallint NOT NULL DEFAULT 0,
    ADD COLUMN usage_partial boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT billing_event_part CHECK (
        part_count BETWEEN 0 AND 32 AND (part_of IS NULL OR (part_count = 0 AND part_of <> request_id))) NOT VALID,
    ADD CONSTRAINT billing_event_partial CHECK (usage_found OR NOT usage_partial) NOT VALID;
