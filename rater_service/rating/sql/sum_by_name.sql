-- Marks the usage of some models in an hour as summed under their own names. Returns which events these are. Their sums are moved
-- in the same transaction: while triggers of stored_event would do that, a statement that names a partition sets off none.
-- Such events have no pattern: their names are in their own columns.
-- {partition}: the partition; :hour: the hour; :model_ids, :base_models: the models, each with its base model (NULL: not
-- stated).
UPDATE {partition} AS event
SET summed_as_other = false
FROM unnest(:model_ids::text[], :base_models::text[]) AS model (model_id, base_model)
WHERE event.summed_as_other
    AND event.event_time >= :hour AND event.event_time < :hour::timestamptz + interval '1 hour'
    AND event.model_id = model.model_id
    AND event.base_model IS NOT DISTINCT FROM model.base_model
    AND event.usage_found AND NOT event.model_untrusted
RETURNING event.request_id
