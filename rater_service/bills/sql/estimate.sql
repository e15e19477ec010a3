-- What the sums of some hours could be billed for, by what decides the price: no run has rated them.
-- :hours: the hours; :auth_id, :resource_id, :model_id: whose of what (NULL: no such condition); :by_key: whether to keep
-- customers and resources apart; :limit: how many rows at most, those with most events first (NULL: all). Each row also has how
-- many there are.
SELECT
    window_start, model_id, base_model,
    CASE WHEN :by_key THEN auth_id END AS auth_id,
    CASE WHEN :by_key THEN resource_id END AS resource_id,
    sum(event_count)::bigint AS events,
    sum(prompt_tokens) AS prompt,
    sum(billable_prompt_tokens) AS billable,
    sum(cached_tokens) AS cached,
    sum(completion_tokens) AS completion,
    count(*) OVER () AS all_rows
FROM hourly_usage
WHERE window_start = ANY (:hours::timestamptz[])
    -- The rest is on no bill in any case; see rating/categories.sql.
    AND usage_found AND NOT model_untrusted AND num_nulls(hourly_usage.auth_id, hourly_usage.resource_id, model_id) = 0
    AND (:auth_id::text IS NULL OR hourly_usage.auth_id = :auth_id)
    AND (:resource_id::text IS NULL OR hourly_usage.resource_id = :resource_id)
    AND (:model_id::text IS NULL OR model_id = :model_id)
GROUP BY 1, 2, 3, 4, 5
ORDER BY events DESC, 1, 4, 5, 2, 3
LIMIT :limit::bigint
