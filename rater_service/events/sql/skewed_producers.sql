-- The producers whose clocks are too far from the rater's, the worst first.
-- :heard_from: of those that were heard of since then; :skew_min: how far is too far; :limit: how many rows.
SELECT producer_id, clock_skew, name
FROM producer
WHERE NOT stopped AND NOT retired AND last_seen >= :heard_from
    AND greatest(clock_skew, -clock_skew) > :skew_min
ORDER BY greatest(clock_skew, -clock_skew) DESC, producer_id
LIMIT :limit
