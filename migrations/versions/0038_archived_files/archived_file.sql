-- The files of archives: kind 'events', of a part of pruned_event_range; others, of the books of a year. archive: a folder,
-- or s3://BUCKET/PREFIX; name: within it; sha256, size (bytes) and row_count: what is in it. next_sha256, next_size: of the
-- file that takes its place, while that is being done.
CREATE TABLE archived_file (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    range_id    bigint REFERENCES pruned_event_range,
    year        integer,
    archive     text NOT NULL,
    name        text NOT NULL,
    sha256      text NOT NULL,
    size        bigint NOT NULL,
    next_sha256 text,
    next_size   bigint,
    row_count   bigint NOT NULL,
    archived_by text NOT NULL,
    archived_at timestamptz NOT NULL,
    CONSTRAINT archived_file_range UNIQUE (range_id),
    CONSTRAINT archived_file_name UNIQUE (archive, name),
    CONSTRAINT archived_file_of CHECK ((kind = 'events') = (range_id IS NOT NULL) AND (range_id IS NULL) <> (year IS NULL)),
    CONSTRAINT archived_file_next CHECK ((next_sha256 IS NULL) = (next_size IS NULL)),
    CONSTRAINT archived_file_counts CHECK (size > 0 AND row_count >= 0),
    CONSTRAINT archived_file_no_empty_text CHECK ('' <> ALL (ARRAY[kind, archive, name, sha256, next_sha256, archived_by]))
);
