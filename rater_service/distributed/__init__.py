"""A database that Citus distributes over several servers: how it is made, and its forms of statements.

`database.sessions` finds out which database is one and sends it these forms; see `statements`.
"""

FORMS = (
    "distributed/audit_hours",
    "distributed/audit_lowest_number",
    "distributed/audit_numbers",
    "distributed/audit_parts",
    "distributed/audit_runs",
    "distributed/bills_unrated_of",
    "distributed/events_hourly_usage_hours",
    "distributed/events_merge_slots",
    "distributed/events_partition_make",
    "distributed/rating_keep_hours",
    "distributed/rating_late_hours",
    "distributed/rating_late_offenders",
)
"""The statements of other packages that are here once more, whole; they take and give the same."""

OTHER_FORMS = ("distributed/events_hourly_usage_add",)
"""Those that take and give something else. Who sends them knows which database it is."""
