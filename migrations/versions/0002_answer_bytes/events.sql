ALTER TABLE billing_event ADD COLUMN answer_bytes bigint;

-- NOT VALID: the events that are there have none, so there is nothing to read them for.
ALTER TABLE billing_event ADD CONSTRAINT billing_event_answer_bytes
    CHECK (answer_bytes BETWEEN 0 AND 9007199254740992) NOT VALID;
