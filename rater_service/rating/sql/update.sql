-- Replaces the rollups that changed, which keep their ids; the others are not touched.
-- :run: the run, :rated_at: when it started.
UPDATE rated_usage AS rated
SET ({values}) = ({change.new_values}),
    run = :run,
    rated_at = :rated_at
FROM rating_change AS change
WHERE change.kind = 'update' AND rated.id = change.rollup
