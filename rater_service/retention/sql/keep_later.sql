-- Moves the events of a partition that ended later into the default one, so that the partition can be dropped: their
-- exchanges began in its week and ended after it. The sums by hour stay as they are.
-- {partition}: its name, {before}: the time.
ALTER TABLE stored_event DETACH PARTITION {partition};
INSERT INTO billing_event_default SELECT * FROM {partition} WHERE event_time >= '{before}';
