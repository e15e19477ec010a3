-- What many events have in common, each combination once. usage_form: the text of an engine's usage without its numbers; in
-- the place of each stands a #. digest: the SHA-256 of all of it, by which a rater finds a combination. Raters add rows, and
-- nobody changes one: the events that have its number would be others.
CREATE TABLE event_pattern (
    number          integer GENERATED ALWAYS AS IDENTITY (MAXVALUE 10000000) PRIMARY KEY,
    digest          bytea NOT NULL,
    auth_id         text,
    group_id        text,
    resource_id     text,
    resource_type   text,
    base_model      text,
    model_id        text,
    requested_model text,
    api             text,
    outcome         text NOT NULL,
    finish_reason   text,
    usage_form      text,
    CONSTRAINT event_pattern_once UNIQUE (digest),
    CONSTRAINT event_pattern_digest CHECK (octet_length(digest) = 32),
    CONSTRAINT event_pattern_no_empty_text CHECK (
        '' <> ALL (ARRAY[auth_id, group_id, resource_id, resource_type, base_model, model_id, requested_model, api,
                         finish_reason, usage_form])),
    CONSTRAINT event_pattern_outcome CHECK (
        outcome IN ('completed', 'aborted', 'upstream_error', 'proxy_error'))
);

CREATE TRIGGER event_pattern_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event_pattern
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The text of a usage: its form with the numbers in their places. numbers: in their order, with a blank between.
CREATE FUNCTION event_usage(form text, numbers text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT string_agg(part.text || coalesce(part.number, ''), '' ORDER BY part.place)
    FROM unnest(string_to_array(form, '#'), string_to_array(numbers, ' ')) WITH ORDINALITY AS part (text, number, place)
$$;
