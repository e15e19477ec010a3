-- Which models were used lately, by what decides their price: the usage that a price is needed for.
-- :since: from which hour on; :other_models: the name under which models are summed that are too many, left out.
SELECT
    model_id, base_model, min(resource_id) AS resource_id, count(DISTINCT resource_id) AS resources,
    sum(event_count)::bigint AS events, max(window_start) AS last_hour
FROM hourly_usage
WHERE window_start >= :since AND usage_found AND NOT model_untrusted
    AND num_nulls(auth_id, resource_id, model_id) = 0 AND model_id <> :other_models
GROUP BY model_id, base_model
ORDER BY events DESC, model_id, base_model
