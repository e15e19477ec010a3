-- Of each event it had the producer's id and the number: more than all other indexes together.
DROP INDEX billing_event_producer;
