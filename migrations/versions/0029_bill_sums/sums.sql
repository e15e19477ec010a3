SELECT
    {moment} AS {unit}, {names},
    sum(rollups)::bigint AS rollups,
    sum(events) AS events,
    sum(prompt_tokens) AS prompt_tokens,
    sum(cached_tokens) AS cached_tokens,
    sum(billable_prompt_tokens) AS billable_prompt_tokens,
    sum(completion_tokens) AS completion_tokens,
    sum(cost) AS cost
FROM {source}
GROUP BY {moment}, {names}
