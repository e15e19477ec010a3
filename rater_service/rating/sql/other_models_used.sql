-- The models whose usage in some hours is summed as that of other models, and could be billed if they had a price.
-- :window_start: the hours.
SELECT DISTINCT model_id, base_model, hour.window_start AS hour
FROM unnest(:window_start::timestamptz[]) AS hour (window_start)
JOIN stored_event ON event_time >= hour.window_start AND event_time < hour.window_start + interval '1 hour'
WHERE summed_as_other AND usage_found AND NOT model_untrusted AND model_id IS NOT NULL
