-- Adds the rollups that are new, and notes the ids they got.
-- :run: the run, :rated_at: when it started.
WITH inserted AS (
    INSERT INTO rated_usage ({key}, window_end, {values}, run, rated_at)
    SELECT
        {key}, window_start + interval '1 hour' AS window_end, {new_values}, :run AS run, :rated_at AS rated_at
    FROM rating_change
    WHERE kind = 'insert'
    ORDER BY {key}
    RETURNING id, {key}
)
UPDATE rating_change AS change
SET rollup = inserted.id
FROM inserted
WHERE ({change.key}) = ({inserted.key})
