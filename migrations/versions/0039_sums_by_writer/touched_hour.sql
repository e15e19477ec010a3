-- A batch that notes an hour first would otherwise be waited for by all others of the hour. Nothing notes hours while they
-- are restored any more, so there is nothing to be kept from being there twice.
DROP TRIGGER keep_touched_hour ON touched_hour;
DROP FUNCTION keep_touched_hour();

ALTER TABLE touched_hour DROP CONSTRAINT touched_hour_pkey;
ALTER TABLE touched_hour ADD CONSTRAINT touched_hour_pkey PRIMARY KEY (window_start, touched_in, slot);
