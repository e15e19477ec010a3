-- Keeps for ever what the run did to which rollup.
-- :run: the run.
INSERT INTO rated_usage_change (run, kind, rollup, {key}, {old_values}, old_run, {new_values})
SELECT :run AS run, upper(kind COLLATE "C") AS kind, rollup, {key}, {old_values}, old_run, {new_values}
FROM rating_change
WHERE rating_change.kind <> 'same'
ORDER BY {key}
