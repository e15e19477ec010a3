"""Tests on a PostgreSQL server that was given by its URL: what to do there, and what does not apply."""

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

SCHEMES = ("postgresql://", "postgres://")
_OWN_SERVERS = "it makes, stops or promotes servers of its own"
NOT_THERE: Mapping[str, str] = MappingProxyType(
    {
        "rater/database/test_availability.py": _OWN_SERVERS,
        "rater/database/test_documented_moves.py": _OWN_SERVERS,
        "rater/database/test_embedded.py": _OWN_SERVERS,
        "rater/database/test_failover.py": _OWN_SERVERS,
        "rater/database/test_faults.py": _OWN_SERVERS,
        "rater/database/test_poolers.py": _OWN_SERVERS,
        "rater/database/test_reading_from_a_standby.py": _OWN_SERVERS,
        "rater/database/test_sessions.py": _OWN_SERVERS,
        "rater/service/test_database_watch.py": _OWN_SERVERS,
    }
)
"""Files below tests/integration whose tests are skipped on a given server, each with the reason."""


_NO_TRIGGERS = "it makes triggers on tables that are distributed, which Citus does not have"
_FORCE = "it empties tables with triggers switched off, by one of which Citus empties their shards"
_NAMES = "it asks for the name of the rule that was broken, which Citus does not pass on"
_NO_VIEW = "it changes events through the view billing_event, which has a trigger for that"
_OLD_SESSION = "it uses a session that is not Phoebe's, which does not find out what the database is"
_SLOTS = "it is about slots, instead of which each producer has sums of its own"
_DEADLOCK = "a batch that meets a partition's making or dropping may end as a deadlock, and is sent again"
_NO_PRODUCER = "it stores events without a producer, by which a distributed database keeps them"
_ROLES = "it makes a role on one server"
_SLOW = "it makes partitions from several sides at once, which takes longer there than others wait for locks"
_EARLIER = "it is about a revision that a database has before it can be distributed"
_FORMS = "it prepares the statements of a plain database"
_PLAN = "it reads the plan of a statement, which Citus has made of others"
NOT_DISTRIBUTED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "bench/test_bench_feeder.py": {
            "test_a_rater_that_does_not_store_what_it_is_sent_ends_the_benchmark": _NO_TRIGGERS,
        },
        "bench/test_metered_day.py": {
            "test_the_service_bills_what_the_events_of_the_day_make": _NO_TRIGGERS,
        },
        "rater/events/test_event_store.py": {
            "test_a_duplicate_that_a_fork_calls_an_internal_error_is_a_duplicate": _NO_TRIGGERS,
            "test_an_internal_error_of_the_database_for_another_reason_stays_one": _NO_TRIGGERS,
        },
        "rater/audit/test_audit.py": {
            "test_numbers_are_read_from_their_index": _PLAN,
            "test_where_an_hours_numbers_begin_costs_the_same_whatever_came_before_and_after": _PLAN,
        },
        "rater/events/test_hourly_usage.py": {
            "test_a_wrong_sum_is_refused": _NAMES,
            "test_an_insert_by_hand_is_refused_with_what_to_do_where_it_would_be_in_no_sum": _NO_TRIGGERS,
            "test_batches_go_on_while_the_sums_of_their_keys_are_made_again": _SLOTS,
            "test_hours_are_those_of_utc_whatever_the_session_thinks": _OLD_SESSION,
        },
        "rater/events/test_partitions.py": {
            "test_a_service_that_may_not_make_tables_says_so_and_goes_on": _ROLES,
            "test_events_that_come_while_partitions_are_made_are_all_stored": _DEADLOCK,
            "test_of_several_at_once_each_partition_is_made_by_one": _SLOW,
        },
        "rater/events/test_producers.py": {
            "test_senders_without_a_status_leave_hours_complete": _NO_PRODUCER
        },
        "rater/events/test_patterns.py": {
            "test_a_full_table_of_patterns_stops_no_event": "it changes a sequence of a table of Citus",
            "test_a_pattern_that_the_database_lost_is_never_relied_on": _FORCE,
            "test_an_event_that_is_corrected_by_hand_has_what_it_had_in_its_own_columns": _NO_VIEW,
            "test_patterns_are_never_changed": _NO_TRIGGERS,
        },
        "rater/events/test_pruned_events.py": {
            "test_no_other_way_into_the_table_takes_a_pruned_event": _NO_TRIGGERS,
            "test_while_events_are_pruned_others_are_stored_and_old_ones_are_known": _DEADLOCK,
        },
        "rater/events/test_rejected_events.py": {
            "test_bad_events_of_all_kinds_hold_up_no_good_one": _NO_TRIGGERS,
            "test_each_kind_of_bad_event_is_kept_whole": _NO_TRIGGERS,
        },
        "rater/database/test_overlap.py": {
            "test_no_statement_gives_anything_else_when_every_table_was_given_more": _FORMS,
        },
        "rater/database/test_schema.py": {
            "test_a_wrong_event_is_refused": _NAMES,
            "test_a_window_of_sums_and_its_rollups_are_found_by_index": _PLAN,
            "test_what_reads_the_events_of_an_hour_finds_them_in_the_index_of_times": _PLAN,
            "test_the_runs_over_an_hour_are_found_in_the_index_however_many_there_are": _PLAN,
            "test_where_the_sums_hold_an_audit_reads_no_event_twice": _PLAN,
        },
        "rater/rating/test_out_of_time.py": {
            "test_late_usage_of_an_hour_with_settled_events_out_of_time_is_still_late": _SLOTS,
        },
        "rater/rating/test_late_usage.py": {
            "test_late_hours_are_found_by_their_marks_and_the_sums_of_these_hours_alone": _PLAN,
        },
    }
)
"""Tests, by their files, that are skipped where a given server distributes its databases; the reasons."""

NOT_DISTRIBUTED_FILES: Mapping[str, str] = MappingProxyType(
    {
        "rater/database/test_late_hours_so_far.py": _EARLIER,
        "rater/distributed/test_forms.py": "it compares with the forms that only plain PostgreSQL plans",
        "rater/events/test_slots.py": _SLOTS,
    }
)
"""Whole files of such tests."""


def reason_to_skip(file: str, test: str, *, distributed: bool) -> str | None:
    """Say why a test of a file below tests/integration does not apply on a given server; None: it does.

    test: its name, without parameters.
    """
    if file in NOT_THERE:
        return NOT_THERE[file]
    if not distributed:
        return None
    return NOT_DISTRIBUTED_FILES.get(file) or NOT_DISTRIBUTED.get(file, {}).get(test)


def is_given(postgres: str) -> bool:
    """Tell whether `--postgres` names a server by its URL."""
    return postgres.startswith(SCHEMES)


def server_url(given: str) -> str:
    """Give the URL of the server's database `postgres`, in which the names of others can take its place."""
    parts = urlsplit(given)
    return urlunsplit(parts._replace(path="/postgres", query=parts.query or "sslmode=prefer"))
