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
_PLAN = "it reads the plan of a statement, which Citus has made of others"
_STABLE = "it moves times by an interval in an UPDATE, which Citus refuses"
NOT_DISTRIBUTED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "rater/events/test_event_store.py": {
            "test_a_duplicate_that_a_fork_calls_an_internal_error_is_a_duplicate": _NO_TRIGGERS,
            "test_an_internal_error_of_the_database_for_another_reason_stays_one": _NO_TRIGGERS,
        },
        "rater/audit/test_audit.py": {
            "test_numbers_are_read_from_their_index": _PLAN,
            "test_where_an_hours_numbers_begin_costs_the_same_whatever_came_before_and_after": _PLAN,
        },
        "rater/rating/test_late_usage.py": {
            "test_marks_are_forgotten_once_every_batch_of_their_time_has_ended": _STABLE,
            "test_marks_of_hours_that_no_run_rates_again_go_once_their_sums_are_rated": _STABLE,
            "test_events_that_somebody_changed_by_hand_make_their_hour_late": _STABLE,
            "test_late_hours_are_found_by_their_marks_and_the_sums_of_these_hours_alone": _PLAN,
        },
    }
)
"""Tests, by their files, that are skipped where a given server distributes its databases; the reasons."""


def reason_to_skip(file: str, test: str, *, distributed: bool) -> str | None:
    """Say why a test of a file below tests/integration does not apply on a given server; None: it does.

    test: its name, without parameters.
    """
    if file in NOT_THERE:
        return NOT_THERE[file]
    return NOT_DISTRIBUTED.get(file, {}).get(test) if distributed else None


def is_given(postgres: str) -> bool:
    """Tell whether `--postgres` names a server by its URL."""
    return postgres.startswith(SCHEMES)


def server_url(given: str) -> str:
    """Give the URL of the server's database `postgres`, in which the names of others can take its place."""
    parts = urlsplit(given)
    return urlunsplit(parts._replace(path="/postgres", query=parts.query or "sslmode=prefer"))
