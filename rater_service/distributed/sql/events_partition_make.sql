-- As events/partition_make.sql: nobody stores events meanwhile, so what is moved is copied and then taken away.
-- {partition}: its name, {lower_id}: the first id, {upper_id}: the first after them.
CREATE TABLE {partition} (LIKE stored_event INCLUDING ALL);
SELECT create_distributed_table('{partition}', 'producer_id', colocate_with => 'stored_event');
INSERT INTO {partition}
SELECT * FROM billing_event_default WHERE request_id >= '{lower_id}' AND request_id < '{upper_id}';
DELETE FROM billing_event_default WHERE request_id >= '{lower_id}' AND request_id < '{upper_id}';
ALTER TABLE stored_event ATTACH PARTITION {partition} FOR VALUES FROM ('{lower_id}') TO ('{upper_id}');
