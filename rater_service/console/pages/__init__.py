"""The pages, and what several of them show: `bill_tables`, `days` and `event_columns`."""
