-- Takes the table of events for reading until the transaction ends, before any of its partitions.
SELECT FROM stored_event WHERE false
