-- Keeps a run, and with it everything it answered, as the last thing it does. The database checks that every event was
-- counted once. The arguments have the names of the columns.
INSERT INTO rating_run
    (id, mode, window_start, window_end, window_open, dry_run, reprice, requested_by, knowledge_at,
     started_at,
     events_in_window, events_rated, unpriced_events, unattributable_events, ambiguous_base_events,
     missing_usage_events, zero_charge_events, rollups_written, rollups_unchanged, reconciled_deletions,
     total_cost, price_books, anomalies, incomplete_producer_count, incomplete_producers,
     unbilled_output_events, unbilled_output_bytes, unbilled_output_auth_count, unbilled_output_by_auth)
OVERRIDING SYSTEM VALUE
VALUES
    (:id, :mode, :window_start, :window_end, :window_open, :dry_run, :reprice, :requested_by, :knowledge_at,
     :started_at,
     :events_in_window, :events_rated, :unpriced_events, :unattributable_events, :ambiguous_base_events,
     :missing_usage_events, :zero_charge_events, :rollups_written, :rollups_unchanged, :reconciled_deletions,
     :total_cost, :price_books, :anomalies, :incomplete_producer_count, :incomplete_producers,
     :unbilled_output_events, :unbilled_output_bytes, :unbilled_output_auth_count, :unbilled_output_by_auth)
RETURNING
    finished_at,
    events_in_window, events_rated, unpriced_events, unattributable_events, ambiguous_base_events,
    missing_usage_events, zero_charge_events, rollups_written, rollups_unchanged, reconciled_deletions,
    total_cost, price_books, unbilled_output_events, unbilled_output_bytes, unbilled_output_auth_count
