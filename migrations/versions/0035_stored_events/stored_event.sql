-- pattern: the number of what the event has in common with others; then its own columns of these names are empty. An event
-- without one has all in its own columns, as those from before. usage_numbers: the numbers of its usage, whose form is in the
-- pattern.
ALTER TABLE billing_event RENAME TO stored_event;
ALTER TABLE stored_event
    ADD COLUMN pattern integer,
    ADD COLUMN usage_numbers text,
    ALTER COLUMN outcome DROP NOT NULL,
    ADD CONSTRAINT stored_event_pattern CHECK (
        CASE WHEN pattern IS NULL THEN outcome IS NOT NULL AND usage_numbers IS NULL
             ELSE coalesce(auth_id, group_id, resource_id, resource_type, base_model, model_id, requested_model, api,
                           outcome, finish_reason) IS NULL
                  AND (usage_numbers IS NULL OR usage_raw IS NULL) END) NOT VALID,
    ADD CONSTRAINT stored_event_no_empty_text CHECK (usage_numbers <> '') NOT VALID;
