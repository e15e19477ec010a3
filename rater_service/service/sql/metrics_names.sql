-- How the proxies stand that an operator has not retired, by name, those heard of last first. Of spools with one name
-- what waits is added up, and for the rest the worst one counts.
-- :now: the time it is; :limit: how many rows.
SELECT
    coalesce(name, producer_id) AS name,
    extract(epoch FROM max(last_seen))::float8 AS last_seen,
    coalesce(sum(spooled_events), 0)::float8 AS spooled_events,
    coalesce(extract(epoch FROM :now - min(coalesce(complete_until, first_seen)) FILTER (WHERE NOT stopped)), 0)::float8
        AS lag_seconds,
    coalesce((array_agg(
        extract(epoch FROM clock_skew) ORDER BY greatest(clock_skew, -clock_skew) DESC NULLS LAST))[1], 0)::float8
        AS skew_seconds
FROM producer
WHERE NOT retired AND (NOT stopped OR spooled_events > 0)
GROUP BY 1
ORDER BY 2 DESC
LIMIT :limit
