-- Takes away all sums of an hour that stand elsewhere than in slot 0 of hourly_usage itself. For merge_slots.sql.
-- :hour: the hour.
DELETE FROM hourly_usage
WHERE window_start = :hour AND (slot > 0 OR tableoid <> 'hourly_usage'::regclass)
RETURNING *
