"""Names that were meant to be Phoebe's and are not: a misspelt option must not count as one not given."""

import re
from collections.abc import Collection, Iterable, Mapping

from phoebe_addon.near_names import nearest

_PREFIX = "phoebe"
# A name that begins in another way was meant to be ours if its beginning and its rest are as close as these.
_BEGINNING_CLOSE = 0.7
_REST_CLOSE = 0.8

RATER_VARIABLES = frozenset(
    {
        "PHOEBE_ALLOW_ANONYMOUS",
        "PHOEBE_ALLOW_PLAINTEXT",
        "PHOEBE_DATA",
        "PHOEBE_INVOICE_ISSUER",
        "PHOEBE_LISTEN",
        "PHOEBE_METRICS",
        "PHOEBE_MIGRATE_LOCK_TIMEOUT",
        "PHOEBE_MIGRATE_STATEMENT_TIMEOUT",
        "PHOEBE_PRICES",
        "PHOEBE_PROVIDER",
        "PHOEBE_PUBLISHER",
        "PHOEBE_RATE_DELAY",
        "PHOEBE_RATE_EVERY",
        "PHOEBE_SERVICE",
        "PHOEBE_TLS_CERT",
        "PHOEBE_TLS_CLIENT_CA",
        "PHOEBE_TLS_KEY",
        "PHOEBE_TOKENS",
    }
)
"""Variables of the rater, which may run on the same machine. A test holds them against the rater's own."""

# Kubernetes tells every pod of the services of its namespace. One that is called phoebe-rater makes
# PHOEBE_RATER_SERVICE_HOST, PHOEBE_RATER_SERVICE_PORT_GRPC, PHOEBE_RATER_PORT_50051_TCP_ADDR and more.
_SERVICE_LINK = re.compile(
    r"(?P<service>\w+?)_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def unknown_options(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Say which of the names that were given as options are not known, and were meant to be Phoebe's.

    Other names are the matter of mitmproxy and its other scripts.
    """
    return [
        f"there is no option {name}{_question(name, known)}"
        for name in names
        if name not in known and _is_meant_as_ours(name, known)
    ]


def nameless_options(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Say which names are those of options without their beginning.

    names: those that nobody knows after every script has declared its options: before, they may be another's.
    """
    rests = {_rest(name): name for name in known}
    return [
        f"there is no option {name}; did you mean {rests[_folded(name)]}?"
        for name in names
        if _folded(name) in rests
    ]


def unknown_variables(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Say which variables of the environment were meant to be Phoebe's, and are not known.

    known: the addon's own. Those of the rater are let be, and so are those that Kubernetes makes.
    """
    both = {*known, *RATER_VARIABLES}
    return [
        f"there is no variable {name}{_question(name, both)}"
        for name in sorted(environment)
        if name not in both and _is_meant_as_ours(name, both) and not _is_service_link(name, environment)
    ]


def _is_meant_as_ours(name: str, known: Iterable[str]) -> bool:
    beginning, _, rest = _folded(name).partition("_")
    if beginning.startswith(_PREFIX):
        return True
    return (
        nearest(beginning, [_PREFIX], _BEGINNING_CLOSE) is not None
        and nearest(rest, map(_rest, known), _REST_CLOSE) is not None
    )


def _question(name: str, known: Iterable[str]) -> str:
    # The beginning is common to all: with it, everything would be close.
    by_rest = {_rest(each): each for each in known}
    meant = nearest(_rest(name), by_rest)
    return f"; did you mean {by_rest[meant]}?" if meant else ""


def _is_service_link(name: str, environment: Mapping[str, str]) -> bool:
    link = _SERVICE_LINK.fullmatch(name)
    return link is not None and f"{link['service']}_SERVICE_HOST" in environment


def _rest(name: str) -> str:
    folded = _folded(name)
    return (
        folded.removeprefix(_PREFIX).lstrip("_") if folded.startswith(_PREFIX) else folded.partition("_")[2]
    )


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
