-- All producers, those furthest behind first.
SELECT *
FROM producer
ORDER BY stopped OR retired, complete_until NULLS FIRST, producer_id
