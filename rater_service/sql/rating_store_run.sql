-- Keeps a run, and with it everything it answered. The database checks that every event was counted once.
INSERT INTO rating_run
    (mode, window_start, window_end, window_open, dry_run, reprice,
     events_in_window, events_rated, unpriced_events, unattributable_events, ambiguous_base_events,
     missing_usage_events, zero_charge_events, rollups_written, rollups_unchanged, reconciled_deletions,
     total_cost, price_books, anomalies, started_at, incomplete_producer_count, incomplete_producers)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
RETURNING id
