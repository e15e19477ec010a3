-- Which revisions this database has, and of which phase each is. An earlier version of the code, which does not know
-- the last ones, finds here whether it can go on working: with `expand` it can, with `contract` it can not.
CREATE TABLE schema_revision (
    revision   text PRIMARY KEY,
    phase      text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT schema_revision_phase CHECK (phase IN ('expand', 'contract'))
);
