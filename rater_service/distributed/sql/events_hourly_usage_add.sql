-- As events/hourly_usage_add.sql, of a single producer, without what stands beside the sums there. From an event of the
-- producer that the transaction wrote Citus sees that all rows are for that event's node, and sends the statement there as it
-- is. Of arguments alone it would make the rows on the coordinator and send them to every node, and all would take part in
-- the commit.
-- {sent}: events/sums_sent.sql; {added}: events/sums_added.sql, which has the producer and the event (producer_id, request_id).
WITH held AS NOT MATERIALIZED (
    SELECT 0::smallint AS slot
), sent AS NOT MATERIALIZED (
{sent}
)
{added}
