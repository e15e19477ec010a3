-- The reader is the metric of the last run of each mode.
CREATE INDEX rating_run_last_success ON rating_run (mode, finished_at) WHERE NOT dry_run;
