-- How wide the partitions of events are that are made from now on: the last row says so, and none says by week. Those that
-- are there stay as they are.
CREATE TABLE partition_width (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    width  text NOT NULL,
    since  timestamptz NOT NULL DEFAULT clock_timestamp(),
    set_by text NOT NULL,
    CONSTRAINT partition_width_known CHECK (width IN ('day', 'week')),
    CONSTRAINT partition_width_no_empty_text CHECK (set_by <> '')
);
