-- The producer's clock less the rater's when its last status came; NULL: it did not say what its clock says.
ALTER TABLE producer ADD COLUMN clock_skew interval;
