-- How many of the window's events no price could make billable, after rating_buckets.
SELECT coalesce(sum(event_count), 0)::bigint
FROM rating_bucket
WHERE category <> 'unpriced'
