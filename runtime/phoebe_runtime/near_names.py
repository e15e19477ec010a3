"""What a name that is not known was meant to be: a misspelt name must not count as one not given.

The addon and the rater each have this module, because neither imports the other.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

_PREFIX = "phoebe"
# Of difflib's ratio, from 0 to 1. One letter too many, missing, wrong or elsewhere is far above.
_CLOSE = 0.6
# A name that begins in another way was meant to be ours if its beginning and its rest are as close as these.
_BEGINNING_CLOSE = 0.7
_REST_CLOSE = 0.8
# Kubernetes tells every pod of the services of its namespace. One that is called phoebe-rater makes
# PHOEBE_RATER_SERVICE_HOST, PHOEBE_RATER_SERVICE_PORT_GRPC, PHOEBE_RATER_PORT_50051_TCP_ADDR and more.
_SERVICE_LINK = re.compile(
    r"(?P<service>\w+?)_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def nearest(name: str, known: Iterable[str], close: float = _CLOSE) -> str | None:
    """Return the known name that is closest to a name, whatever the case; None if none is close enough."""
    folded = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), folded, n=1, cutoff=close)
    return folded[found[0]] if found else None


def unknown_variables(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Say which variables of the environment were meant to be Phoebe's, and are not known.

    Those that Kubernetes makes are let be.
    """
    return [
        f"there is no variable {name}{question(name, known)}"
        for name in sorted(environment)
        if name not in known and is_meant_as_ours(name, known) and not _is_service_link(name, environment)
    ]


def is_meant_as_ours(name: str, known: Iterable[str]) -> bool:
    """Whether an option or a variable that is not known was meant to be Phoebe's. known: those that are."""
    beginning, _, rest = folded_name(name).partition("_")
    if beginning.startswith(_PREFIX):
        return True
    return (
        nearest(beginning, [_PREFIX], _BEGINNING_CLOSE) is not None
        and nearest(rest, map(rest_of, known), _REST_CLOSE) is not None
    )


def question(name: str, known: Iterable[str]) -> str:
    """Ask for the known name that was meant, to stand behind a message; empty if none is close."""
    # The beginning is common to all: with it, everything would be close.
    by_rest = {rest_of(each): each for each in known}
    meant = nearest(rest_of(name), by_rest)
    return f"; did you mean {by_rest[meant]}?" if meant else ""


def rest_of(name: str) -> str:
    """Return what stands behind the beginning that all names have, in lower case."""
    folded = folded_name(name)
    return (
        folded.removeprefix(_PREFIX).lstrip("_") if folded.startswith(_PREFIX) else folded.partition("_")[2]
    )


def folded_name(name: str) -> str:
    """Return a name in lower case, with underscores for hyphens."""
    return name.lower().replace("-", "_")


def _is_service_link(name: str, environment: Mapping[str, str]) -> bool:
    link = _SERVICE_LINK.fullmatch(name)
    return link is not None and f"{link['service']}_SERVICE_HOST" in environment
