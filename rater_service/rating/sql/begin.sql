-- Numbers a run and says when its snapshot was taken: whatever was committed later is not in it. To be the first
-- statement of the transaction, which is the one that takes the snapshot.
SELECT nextval(pg_get_serial_sequence('rating_run', 'id')) AS id, clock_timestamp() AS knowledge_at
