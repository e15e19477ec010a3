-- Copies the window's hourly sums into buckets, each with its category.
-- {categories}: see categories.sql, which has the arguments.
INSERT INTO rating_bucket
    (category, {key}, base_model, event_count, prompt, cached, completion, billable, excess_events, excess,
     partial_events, unbilled_events, unbilled_bytes, echoed_events, echoed_tokens)
{categories}
