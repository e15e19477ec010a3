-- Deletes the rollups that nothing accounts for any more.
DELETE FROM rated_usage AS rated
USING rating_change AS change
WHERE change.kind = 'delete'
    AND rated.window_start = change.window_start
    AND rated.auth_id = change.auth_id
    AND rated.resource_id = change.resource_id
    AND rated.model_id = change.model_id
