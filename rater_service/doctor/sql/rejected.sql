-- Events that are kept aside and not settled: how many, and since when.
SELECT count(*) AS events, min(received_at) AS oldest FROM rejected_event WHERE resolved_at IS NULL
