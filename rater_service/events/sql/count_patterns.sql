-- How many of some patterns of events are there, each under its number.
-- :numbers: their numbers, :digests: what each is.
SELECT count(*)
FROM unnest(:numbers::integer[], :digests::bytea[]) AS used (number, digest)
JOIN event_pattern USING (number, digest)
