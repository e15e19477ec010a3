-- Deletes the rollups that nothing accounts for any more.
DELETE FROM rated_usage AS rated
USING rating_change AS change
WHERE change.kind = 'delete' AND rated.id = change.rollup
