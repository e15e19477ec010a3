-- Takes away all cold sums. For merge_slots.sql.
DELETE FROM hourly_usage_cold
RETURNING *
