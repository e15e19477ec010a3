-- slot: as in hourly_usage, whose hours these are.
ALTER TABLE touched_hour ADD COLUMN slot smallint NOT NULL DEFAULT 0;
