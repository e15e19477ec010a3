-- What an export says of an event: the columns of billing_event in their order, and those that a later version has added to
-- the table, as one text.
-- :shared: the columns that an event has in its pattern instead of its own.
SELECT string_agg(
    CASE
        WHEN attname = 'usage_raw'
            THEN 'coalesce(event.usage_raw, event_usage(pattern.usage_form, event.usage_numbers)) AS usage_raw'
        WHEN attname = ANY (:shared::text[]) THEN format('coalesce(event.%1$I, pattern.%1$I) AS %1$I', attname)
        ELSE format('event.%I', attname)
    END, ', ' ORDER BY attnum) AS columns
FROM pg_attribute
WHERE attrelid = 'stored_event'::regclass AND attnum > 0 AND NOT attisdropped
    AND attname NOT IN ('pattern', 'usage_numbers')
