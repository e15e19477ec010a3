-- Makes a partition for the ids between two, and moves into it what the default one holds of them. The sums by hour stay as
-- they are.
-- {partition}: its name, {lower_id}: the first id, {upper_id}: the first after them.
CREATE TABLE {partition} (LIKE stored_event INCLUDING ALL);
WITH moved AS (
    DELETE FROM billing_event_default
    WHERE request_id >= '{lower_id}' AND request_id < '{upper_id}'
    RETURNING *
)
INSERT INTO {partition} SELECT * FROM moved;
ALTER TABLE stored_event ATTACH PARTITION {partition} FOR VALUES FROM ('{lower_id}') TO ('{upper_id}');
