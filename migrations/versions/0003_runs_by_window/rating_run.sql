-- The readers are the audit, prune and explain, which ask for the last run over each hour.
CREATE INDEX rating_run_window ON rating_run USING gist (tstzrange(window_start, window_end)) WHERE NOT dry_run;
