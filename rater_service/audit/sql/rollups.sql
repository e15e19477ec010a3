-- Compares the rollups of one hour with their own rates, their events and their runs, without asking for prices.
-- The events' sums were compared with the events themselves before.
-- One row for each of the first rollups of each kind of difference, with how many there are of the kind; and one row
-- of the kind 'LATE', which is no difference, for the rollups that events came to after the last run.
-- :hour: the hour. :late_from: events stored from here on may have come after the last run over the hour (NULL: there
-- was no run). :is_routine: whether a routine run will rate the hour again. :limit: how many rows of a kind.
-- :sums_hold: whether the hourly sums stand for the events; otherwise the events are read again, and :archived has what those in
-- the archive add up to, as JSON. :fine_tune_prefix:
-- what the id of a fine-tune starts with.
--
-- A rollup of a base model sums all events of its key. Of a fine-tune, events that stated another base model than
-- those of the rollup, or none, may have no price; all that can be said without prices is that there are not more
-- events in the rollup than there are.
WITH summed AS (
    SELECT * FROM hourly_usage WHERE :sums_hold AND window_start = :hour
    UNION ALL
    SELECT * FROM hourly_usage_of_events(:hour, :hour::timestamptz + interval '1 hour') WHERE NOT :sums_hold
    UNION ALL
    SELECT * FROM jsonb_populate_recordset(NULL::hourly_usage, :archived::jsonb) WHERE NOT :sums_hold
), event AS (
    SELECT
        auth_id, resource_id, model_id,
        sum(event_count)::bigint AS event_count,
        sum(prompt_tokens) AS prompt_tokens,
        sum(cached_tokens) AS cached_tokens,
        sum(completion_tokens) AS completion_tokens,
        sum(billable_prompt_tokens) AS billable_prompt_tokens,
        max(last_stored_at) AS last_stored_at
    FROM summed
    WHERE usage_found AND NOT model_untrusted
        AND auth_id IS NOT NULL AND resource_id IS NOT NULL AND model_id IS NOT NULL
    GROUP BY auth_id, resource_id, model_id
), compared AS (
    SELECT
        auth_id, resource_id, model_id, rated.run,
        format('%s %s, %s prompt, %s cached, %s completion, %s billable prompt tokens',
            rated.event_count, CASE rated.event_count WHEN 1 THEN 'event' ELSE 'events' END,
            rated.prompt_tokens, rated.cached_tokens, rated.completion_tokens,
            rated.billable_prompt_tokens) AS billed,
        format('%s %s, %s prompt, %s cached, %s completion, %s billable prompt tokens',
            event.event_count, CASE event.event_count WHEN 1 THEN 'event' ELSE 'events' END,
            event.prompt_tokens, event.cached_tokens, event.completion_tokens,
            event.billable_prompt_tokens) AS metered,
        rated.cost,
        rated.billable_prompt_tokens * rated.applied_prompt_rate + rated.cached_tokens * rated.applied_cached_rate
            + rated.completion_tokens * rated.applied_completion_rate AS explained_cost,
        event.event_count IS NULL AS eventless,
        coalesce(event.last_stored_at >= :late_from, false) AS late,
        CASE
            WHEN starts_with(model_id, :fine_tune_prefix) THEN
                rated.event_count > event.event_count
                OR rated.prompt_tokens > event.prompt_tokens
                OR rated.cached_tokens > event.cached_tokens
                OR rated.completion_tokens > event.completion_tokens
                OR rated.billable_prompt_tokens > event.billable_prompt_tokens
            ELSE
                (rated.event_count, rated.prompt_tokens, rated.cached_tokens, rated.completion_tokens,
                 rated.billable_prompt_tokens)
                <> (event.event_count, event.prompt_tokens, event.cached_tokens, event.completion_tokens,
                    event.billable_prompt_tokens)
        END AS differs,
        greatest(event.event_count - rated.event_count, 0) AS events_more,
        NOT EXISTS (
            SELECT
            FROM rating_run
            WHERE rating_run.id = rated.run
                AND NOT dry_run
                AND rating_run.window_start <= :hour AND rating_run.window_end > :hour
                AND rated.price_book = ANY (price_books)) AS runless
    FROM (SELECT * FROM rated_usage WHERE window_start = :hour) AS rated
    LEFT JOIN event USING (auth_id, resource_id, model_id)
), found AS (
    SELECT
        kind, auth_id, resource_id, model_id, detail,
        count(*) OVER (PARTITION BY kind) AS rollups,
        (sum(events_more) OVER (PARTITION BY kind))::bigint AS events,
        row_number() OVER (PARTITION BY kind ORDER BY auth_id, resource_id, model_id) AS place
    FROM compared
    CROSS JOIN LATERAL (VALUES
        ('COST_NOT_EXPLAINED', cost <> explained_cost,
            format('cost is %s USD, tokens and rates make %s USD', cost, explained_cost)),
        ('ROLLUP_WITHOUT_EVENTS', eventless, format('the rollup sums %s; there is no such event', billed)),
        ('ROLLUP_DIFFERS_FROM_EVENTS', differs AND NOT (late AND :is_routine),
            format('the rollup sums %s; its events make %s', billed, metered)),
        ('ROLLUP_WITHOUT_RUN', runless, format('run %s does not account for it', run)),
        ('LATE', differs AND late AND :is_routine, NULL)
    ) AS checked (kind, wrong, detail)
    WHERE wrong
)
SELECT *
FROM found
WHERE place <= :limit
ORDER BY kind, place
