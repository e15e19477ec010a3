-- How many of the patterns that events rely on are there. For hourly_usage_add.sql.
-- :numbers: which, by their numbers; :digests: what each is.
SELECT count(*)
FROM unnest(:numbers::integer[], :digests::bytea[]) AS used (number, digest)
JOIN event_pattern USING (number, digest)
