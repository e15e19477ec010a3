-- What bills add up to by day and model. The digits hold the sums of a million sums by the day.
CREATE TABLE rated_model_day (
    day                    timestamptz NOT NULL,
    model_id               text NOT NULL,
    rollups                bigint NOT NULL,
    events                 numeric(44, 0) NOT NULL,
    prompt_tokens          numeric(44, 0) NOT NULL,
    cached_tokens          numeric(44, 0) NOT NULL,
    billable_prompt_tokens numeric(44, 0) NOT NULL,
    completion_tokens      numeric(44, 0) NOT NULL,
    cost                   numeric(48, 9) NOT NULL,
    CONSTRAINT rated_model_day_pkey PRIMARY KEY (day, model_id),
    CONSTRAINT rated_model_day_whole CHECK (day = date_trunc('day', day, 'UTC')),
    CONSTRAINT rated_model_day_no_empty_text CHECK ('' <> ALL (ARRAY[model_id])),
    CONSTRAINT rated_model_day_counts CHECK (
        rollups >= 0 AND events >= 0 AND prompt_tokens >= 0 AND cached_tokens >= 0 AND completion_tokens >= 0
        AND billable_prompt_tokens BETWEEN 0 AND prompt_tokens AND cost >= 0)
) WITH (fillfactor = 70);
