-- trace_id: the trace that the exchange is a part of, as W3C Trace Context has it. The events that are there have none, so
-- there is nothing to read them for.
ALTER TABLE billing_event
    ADD COLUMN trace_id bytea,
    ADD CONSTRAINT billing_event_trace_id CHECK (octet_length(trace_id) = 16) NOT VALID;
