-- Everything that a price is needed for, to bill it or to say what is at risk. Ordered so that the hours of a
-- model follow each other.
-- :window_start, :window_end: the window, its end exclusive.
SELECT DISTINCT model_id, base_model, window_start
FROM hourly_usage
WHERE window_start >= :window_start AND window_start < :window_end
    AND model_id IS NOT NULL
    -- All else without usage is lost, or free.
    AND (usage_found OR auth_id IS NULL OR resource_id IS NULL)
ORDER BY model_id, base_model, window_start
