"""Variables of the environment that were meant to be Phoebe's and are not: a misspelt one must not count as
one not given.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rater_service.errors import OperatorError
from rater_service.near_names import nearest

_PREFIX = "PHOEBE"
# A name that begins in another way was meant to be ours if its beginning and its rest are as close as these.
_BEGINNING_CLOSE = 0.7
_REST_CLOSE = 0.8

ADDON_VARIABLES = frozenset(
    {
        "PHOEBE_ALLOW_ANY_EDGE",
        "PHOEBE_ALLOW_UNBILLABLE",
        "PHOEBE_AUTH_ID_HEADER",
        "PHOEBE_BASE_MODEL_HEADER",
        "PHOEBE_BODY_LIMIT",
        "PHOEBE_CONNECTIONS_MAX",
        "PHOEBE_DRAIN_TIMEOUT",
        "PHOEBE_EDGE_SECRET_FILE",
        "PHOEBE_EDGE_SECRET_HEADER",
        "PHOEBE_ENGINE",
        "PHOEBE_ENGINE_TIMEOUT",
        "PHOEBE_EXCHANGES_MAX",
        "PHOEBE_FORWARD_IDENTITY",
        "PHOEBE_GROUP_ID_HEADER",
        "PHOEBE_LEAN",
        "PHOEBE_METRICS",
        "PHOEBE_MODELS",
        "PHOEBE_RATER",
        "PHOEBE_RATER_ALLOW_PLAINTEXT",
        "PHOEBE_RATER_CA",
        "PHOEBE_RATER_CERT",
        "PHOEBE_RATER_KEY",
        "PHOEBE_RATER_TLS",
        "PHOEBE_RATER_TOKEN_FILE",
        "PHOEBE_REQUEST_TIMEOUT",
        "PHOEBE_RESOURCE_ID_HEADER",
        "PHOEBE_RESOURCE_TYPE_HEADER",
        "PHOEBE_ROUTES",
        "PHOEBE_SPOOL",
        "PHOEBE_SPOOL_LIMIT",
        "PHOEBE_TRUSTED_EDGES",
        "PHOEBE_UPSTREAM",
        "PHOEBE_USAGE",
        "PHOEBE_USER_ID_HEADER",
    }
)
"""Variables of the addon, which may run on the same machine. A test holds them against the addon's own."""

# Kubernetes tells every pod of the services of its namespace. One that is called phoebe-rater makes
# PHOEBE_RATER_SERVICE_HOST, PHOEBE_RATER_SERVICE_PORT_GRPC, PHOEBE_RATER_PORT_50051_TCP_ADDR and more.
_SERVICE_LINK = re.compile(
    r"(?P<service>\w+?)_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


# Typer has a Click of its own, with no public names for its types.
def own_variables(command: Any) -> frozenset[str]:
    """List the variables that a command and all commands below it read, without those of other packages."""
    return frozenset(_variables(command))


def refuse_unknown(environment: Mapping[str, str], own: frozenset[str]) -> None:
    """Raise OperatorError if variables were meant to be Phoebe's, and are not known."""
    known = own | ADDON_VARIABLES
    faults = [
        f"there is no variable {name}{_question(name, known)}"
        for name in sorted(environment)
        if name not in known and _is_meant_as_ours(name, known) and not _is_service_link(name, environment)
    ]
    if faults:
        raise OperatorError("; ".join(faults))


def _variables(command: Any) -> Iterator[str]:
    for parameter in command.params:
        given = parameter.envvar or ()
        yield from [given] if isinstance(given, str) else given
    for below in getattr(command, "commands", {}).values():
        yield from _variables(below)


def _is_meant_as_ours(name: str, known: frozenset[str]) -> bool:
    beginning, _, rest = name.upper().partition("_")
    if beginning.startswith(_PREFIX):
        return True
    return (
        nearest(beginning, [_PREFIX], _BEGINNING_CLOSE) is not None
        and nearest(rest, map(_rest, known), _REST_CLOSE) is not None
    )


def _question(name: str, known: frozenset[str]) -> str:
    # The beginning is common to all: with it, everything would be close.
    by_rest = {_rest(each): each for each in known}
    meant = nearest(_rest(name), by_rest)
    return f"; did you mean {by_rest[meant]}?" if meant else ""


def _rest(name: str) -> str:
    upper = name.upper()
    return upper.removeprefix(_PREFIX).lstrip("_") if upper.startswith(_PREFIX) else upper.partition("_")[2]


def _is_service_link(name: str, environment: Mapping[str, str]) -> bool:
    link = _SERVICE_LINK.fullmatch(name)
    return link is not None and f"{link['service']}_SERVICE_HOST" in environment
