-- What bills add up to by month, customer, resource and model. The digits hold the sums of a million sums by the day.
CREATE TABLE rated_month (
    month                  timestamptz NOT NULL,
    auth_id                text NOT NULL,
    resource_id            text NOT NULL,
    model_id               text NOT NULL,
    rollups                bigint NOT NULL,
    events                 numeric(44, 0) NOT NULL,
    prompt_tokens          numeric(44, 0) NOT NULL,
    cached_tokens          numeric(44, 0) NOT NULL,
    billable_prompt_tokens numeric(44, 0) NOT NULL,
    completion_tokens      numeric(44, 0) NOT NULL,
    cost                   numeric(48, 9) NOT NULL,
    CONSTRAINT rated_month_pkey PRIMARY KEY (month, auth_id, resource_id, model_id),
    CONSTRAINT rated_month_whole CHECK (month = date_trunc('month', month, 'UTC')),
    CONSTRAINT rated_month_no_empty_text CHECK ('' <> ALL (ARRAY[auth_id, resource_id, model_id])),
    CONSTRAINT rated_month_counts CHECK (
        rollups >= 0 AND events >= 0 AND prompt_tokens >= 0 AND cached_tokens >= 0 AND completion_tokens >= 0
        AND billable_prompt_tokens BETWEEN 0 AND prompt_tokens AND cost >= 0)
) WITH (fillfactor = 70);
