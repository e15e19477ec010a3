-- Every loading of a price file: which book, by whom, and from which hour it is in force (NULL: from the beginning).
-- Loadings are numbered in their order. Of those that stand, the one with the highest number whose hour has come is in
-- force. replaced_by: the loading that took its place before its hour came. loaded_by, db_role: the program, user and
-- machine, and the role of the session; NULL for what version 0.1.0 loaded.
CREATE TABLE price_loading (
    number         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content_hash   text NOT NULL REFERENCES price_book,
    source         text NOT NULL,
    loaded_at      timestamptz NOT NULL,
    loaded_by      text,
    db_role        text DEFAULT session_user,
    in_force_from  timestamptz,
    replaced_by    bigint REFERENCES price_loading,
    withdrawn_at   timestamptz,
    withdrawn_by   text,
    withdrawn_role text,
    CONSTRAINT price_loading_no_empty_text CHECK (
        '' <> ALL (ARRAY[source, loaded_by, db_role, withdrawn_by, withdrawn_role])),
    CONSTRAINT price_loading_whole_hour CHECK (in_force_from = date_trunc('hour', in_force_from, 'UTC')),
    CONSTRAINT price_loading_replaced_by_later CHECK (replaced_by > number),
    CONSTRAINT price_loading_withdrawn CHECK (
        num_nonnulls(withdrawn_at, withdrawn_by, withdrawn_role) IN (0, 3)),
    CONSTRAINT price_loading_one_end CHECK (replaced_by IS NULL OR withdrawn_at IS NULL)
);

-- What was loaded stays as it was; a loading can only be replaced or withdrawn, once.
CREATE TRIGGER price_loading_append_only BEFORE DELETE OR TRUNCATE ON price_loading
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER price_loading_unchanged
BEFORE UPDATE OF number, content_hash, source, loaded_at, loaded_by, db_role, in_force_from ON price_loading
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER price_loading_ended_once BEFORE UPDATE ON price_loading
FOR EACH ROW WHEN (OLD.replaced_by IS NOT NULL OR OLD.withdrawn_at IS NOT NULL) EXECUTE FUNCTION refuse_change();

-- What version 0.1.0 loaded, and when it is in force, stands in price_book. It went by the later hour: numbered in that
-- order, its books price the same hours as before.
INSERT INTO price_loading (content_hash, source, loaded_at, db_role, in_force_from)
SELECT content_hash, source, loaded_at, NULL, in_force_from
FROM price_book
ORDER BY coalesce(in_force_from, '-infinity'), loaded_at;

-- All loadings, also of books that have none: version 0.1.0, which may still run while this one takes its place, knows of
-- no loadings, and its dumps have none. The next loading makes loadings of them.
CREATE VIEW every_price_loading AS
SELECT number, content_hash, source, loaded_at, loaded_by, db_role, in_force_from, replaced_by, withdrawn_at,
       withdrawn_by, withdrawn_role
FROM price_loading
UNION ALL
SELECT
    (SELECT coalesce(max(number), 0) FROM price_loading)
        + row_number() OVER (ORDER BY coalesce(in_force_from, '-infinity'), loaded_at),
    content_hash, source, loaded_at, NULL, NULL, in_force_from, NULL, NULL, NULL, NULL
FROM price_book AS book
WHERE NOT EXISTS (SELECT FROM price_loading AS loading WHERE loading.content_hash = book.content_hash);
