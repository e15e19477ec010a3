-- Sums of producers are kept apart, so there is nothing to merge. Returns how many rows were moved: none.
SELECT 0::bigint AS moved
