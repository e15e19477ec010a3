-- Deletes the rollups that nothing accounts for any more. Not by their number alone: a row that was given another key
-- by hand has the number under which the ledger knows the key it had, and may be a rollup that stays.
DELETE FROM rated_usage AS rated
USING rating_change AS change
WHERE change.kind = 'delete' AND rated.id = change.rollup AND ({rated.key}) = ({change.key})
