-- One run, and all it answered.
-- :id: its number.
SELECT {run}
FROM rating_run
WHERE id = :id
