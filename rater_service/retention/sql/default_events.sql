-- Deletes the events from before a time from the default partition, which is never dropped. The sums by hour stay as
-- they are.
-- :before: the time.
DELETE FROM billing_event_default WHERE event_time < :before
