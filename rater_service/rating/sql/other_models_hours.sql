-- The hours of a window in which usage that could be billed is summed as that of other models, although a price file was
-- loaded since. By an hour, as clocks differ and batches take time.
-- :window_start, :window_end: the window, its end exclusive; :other_models: the name they are summed under.
SELECT DISTINCT window_start AS hour
FROM hourly_usage
WHERE window_start >= :window_start AND window_start < :window_end
    AND model_id = :other_models AND usage_found AND NOT model_untrusted
    AND first_stored_at < (SELECT max(loaded_at) FROM every_price_loading) + interval '1 hour'
