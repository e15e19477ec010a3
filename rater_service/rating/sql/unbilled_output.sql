-- What clients were given and is not billed, by auth_id, those with most bytes first; with the deployment that most of them
-- came from.
-- :limit: how many auth_ids at most.
SELECT
    auth_id,
    sum(events)::bigint AS events,
    least(sum(bytes), 9223372036854775807)::bigint AS answer_bytes,
    (array_agg(resource_id ORDER BY bytes DESC, resource_id))[1] AS resource_id
FROM (
    SELECT auth_id, resource_id, sum(unbilled_events) AS events, sum(unbilled_bytes) AS bytes
    FROM rating_bucket
    WHERE unbilled_events > 0
    GROUP BY auth_id, resource_id
) AS by_resource
GROUP BY auth_id
ORDER BY answer_bytes DESC, events DESC, auth_id
LIMIT :limit
