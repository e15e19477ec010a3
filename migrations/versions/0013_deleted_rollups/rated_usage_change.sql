-- The reader is a later page of ListRatedUsage, which shows what runs deleted since the first. It has few rows. Only runs
-- write to the table: they wait, and no batch does.
CREATE INDEX rated_usage_change_deleted ON rated_usage_change (window_start, auth_id, resource_id, model_id)
WHERE kind = 'DELETE';
