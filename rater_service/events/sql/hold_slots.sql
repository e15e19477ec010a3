-- Waits for the transactions that add to some slots of the sums, and keeps others from these slots to the end of this one;
-- see hourly_usage_slot(). Meanwhile batches add to the other slots.
-- :slots: which, in their order, in which all take them.
SELECT pg_advisory_xact_lock(7463311, slot)
FROM unnest(:slots::integer[]) AS slot
