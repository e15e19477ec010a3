-- What a run changed: of all customers (auth_id is NULL), and of those whose bills changed most. The run's window finds its
-- changes, which have no index by run.
-- :run: the run, :window_start, :window_end: its window, its end exclusive; :limit: how many customers.
WITH customer AS (
    SELECT
        auth_id,
        count(*) FILTER (WHERE kind = 'INSERT') AS inserted,
        count(*) FILTER (WHERE kind = 'UPDATE') AS updated,
        count(*) FILTER (WHERE kind = 'DELETE') AS deleted,
        coalesce(sum(old_cost), 0) AS cost_before,
        coalesce(sum(new_cost), 0) AS cost_after
    FROM rated_usage_change
    WHERE run = :run AND window_start >= :window_start AND window_start < :window_end
    GROUP BY GROUPING SETS ((auth_id), ())
)
SELECT
    auth_id, count(auth_id) OVER () AS auth_ids, inserted, updated, deleted, cost_before, cost_after
FROM customer
-- All of them come first.
ORDER BY auth_id IS NOT NULL, abs(cost_after - cost_before) DESC, auth_id
LIMIT :limit + 1
