-- Whether some events belong where events were pruned, of those that a transaction has written into the default partition, of
-- which nobody prunes until it ends. Where the database has a trigger for it, such an event is refused by that.
-- :request_ids: their ids; :event_times: when they ended, as microseconds since 1970.
SELECT EXISTS (
    SELECT
    FROM unnest(:request_ids::uuid[], :event_times::bigint[]) AS sent (request_id, event_time)
    CROSS JOIN LATERAL (
        SELECT timestamptz '1970-01-01 00:00:00+00' + sent.event_time * interval '1 microsecond' AS event_time) AS ended
    WHERE ended.event_time <= (SELECT max(last_event_time) FROM pruned_event_range)
        AND event_was_pruned(sent.request_id, ended.event_time))
