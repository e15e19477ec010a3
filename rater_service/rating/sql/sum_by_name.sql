-- Sums the usage of some models under their own names: triggers move it there from the sum of other models. Returns of
-- how many events.
-- :model_ids, :base_models, :hours: the models, each with its base model (NULL: not stated) and hour.
WITH moved AS (
    UPDATE billing_event AS event
    SET summed_as_other = false
    FROM unnest(:model_ids::text[], :base_models::text[], :hours::timestamptz[]) AS model (model_id, base_model, hour)
    WHERE event.summed_as_other
        AND event.event_time >= model.hour AND event.event_time < model.hour + interval '1 hour'
        AND event.model_id = model.model_id
        AND event.base_model IS NOT DISTINCT FROM model.base_model
        AND event.usage_found AND NOT event.model_untrusted
    RETURNING event.request_id
)
SELECT count(*) FROM moved
