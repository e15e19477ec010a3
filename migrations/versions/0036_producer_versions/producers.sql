-- Which version of Phoebe sent the last word of a producer; NULL: it did not say.
ALTER TABLE producer ADD COLUMN version text CHECK (version <> '');
