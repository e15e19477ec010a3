-- model_echoed: the name in model_id is exactly what the client asked for, and the engine may only repeat it. Of events from
-- before, and of addons that do not say it, nobody knows, and false is what they count as.
ALTER TABLE billing_event ADD COLUMN model_echoed boolean NOT NULL DEFAULT false;
