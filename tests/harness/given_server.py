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


def is_given(postgres: str) -> bool:
    """Tell whether `--postgres` names a server by its URL."""
    return postgres.startswith(SCHEMES)


def server_url(given: str) -> str:
    """Give the URL of the server's database `postgres`, in which the names of others can take its place."""
    parts = urlsplit(given)
    return urlunsplit(parts._replace(path="/postgres", query=parts.query or "sslmode=prefer"))
