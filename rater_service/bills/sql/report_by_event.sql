-- Adds rollups up by what only their events know: user, group and API. Where the events of a rollup make it exactly, each
-- group of them has its part of the cost, at the rollup's rates. Of other rollups, whose events were pruned or came since
-- it was rated, nobody knows whose they are: the whole rollup is in rows where events_known is false. So the parts make
-- the total, and no part is guessed.
-- {rollups}: see rollups.sql, which has the other arguments. :by: what to group by, of month, day, hour, customer,
-- resource, model, user, group and api; :fine_tune_prefix: what the id of a fine-tune starts with.
WITH rated AS (
{rollups}
), used AS (
    SELECT
        rated.id, user_id, group_id, api,
        count(*) AS events,
        sum(coalesce(event.prompt_tokens, 0)) AS prompt,
        -- Per event, as in the sums: what an engine reports beyond the prompt is not billed.
        sum(least(coalesce(event.cached_tokens, 0), coalesce(event.prompt_tokens, 0))) AS cached,
        sum(greatest(coalesce(event.prompt_tokens, 0) - coalesce(event.cached_tokens, 0), 0)) AS billable,
        sum(coalesce(event.completion_tokens, 0)) AS completion
    FROM rated
    JOIN billing_event AS event
        ON date_trunc('hour', event_time, 'UTC') = rated.window_start
            AND (event.auth_id, event.resource_id, event.model_id)
                = (rated.auth_id, rated.resource_id, rated.model_id)
    WHERE event_time >= :window_start AND event_time < :window_end
        AND usage_found AND NOT model_untrusted AND NOT summed_as_other
        -- Events of a fine-tune with another base model may have no price.
        AND (NOT starts_with(event.model_id, :fine_tune_prefix) OR event.base_model IS NOT DISTINCT FROM rated.base_model)
    GROUP BY rated.id, user_id, group_id, api
), whole AS (
    SELECT id
    FROM used
    JOIN rated USING (id)
    GROUP BY id, event_count, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens
    HAVING (sum(events), sum(prompt), sum(cached), sum(billable), sum(completion))
        = (event_count, prompt_tokens, cached_tokens, billable_prompt_tokens, completion_tokens)
), part AS (
    SELECT
        id, window_start, auth_id, resource_id, model_id, user_id, group_id, api, true AS events_known,
        events, prompt, cached, billable, completion,
        billable * applied_prompt_rate + cached * applied_cached_rate + completion * applied_completion_rate AS cost
    FROM used
    JOIN whole USING (id)
    JOIN rated USING (id)
    UNION ALL
    SELECT
        id, window_start, auth_id, resource_id, model_id, NULL AS user_id, NULL AS group_id, NULL AS api,
        false AS events_known, event_count AS events, prompt_tokens AS prompt, cached_tokens AS cached,
        billable_prompt_tokens AS billable, completion_tokens AS completion, cost
    FROM rated
    WHERE id NOT IN (SELECT id FROM whole)
)
SELECT
    month, day, hour, customer, resource, model, "user", "group", api, events_known,
    count(DISTINCT rollup_id) AS rollups,
    coalesce(sum(events), 0) AS events,
    coalesce(sum(prompt), 0) AS prompt_tokens,
    coalesce(sum(cached), 0) AS cached_tokens,
    coalesce(sum(billable), 0) AS billable_prompt_tokens,
    coalesce(sum(completion), 0) AS completion_tokens,
    coalesce(sum(cost), 0) AS cost,
    grouping(month, day, hour, customer, resource, model, "user", "group", api, events_known) <> 0 AS is_total
FROM (
    SELECT
        CASE WHEN 'month' = ANY (:by::text[]) THEN date_trunc('month', window_start, 'UTC') END AS month,
        CASE WHEN 'day' = ANY (:by) THEN date_trunc('day', window_start, 'UTC') END AS day,
        CASE WHEN 'hour' = ANY (:by) THEN window_start END AS hour,
        CASE WHEN 'customer' = ANY (:by) THEN auth_id END AS customer,
        CASE WHEN 'resource' = ANY (:by) THEN resource_id END AS resource,
        CASE WHEN 'model' = ANY (:by) THEN model_id END AS model,
        CASE WHEN 'user' = ANY (:by) THEN user_id END AS "user",
        CASE WHEN 'group' = ANY (:by) THEN group_id END AS "group",
        CASE WHEN 'api' = ANY (:by) THEN part.api END AS api,
        id AS rollup_id, events_known, events, prompt, cached, billable, completion, cost
    FROM part
) AS named
GROUP BY GROUPING SETS ((month, day, hour, customer, resource, model, "user", "group", api, events_known), ())
