"""Variables of the environment that were meant to be Phoebe's and are not: a misspelt one must not count as
one not given.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from phoebe_runtime.near_names import unknown_variables
from rater_service.errors import OperatorError

ADDON_VARIABLES = frozenset(
    {
        "PHOEBE_ABORT",
        "PHOEBE_ABORT_LIMIT",
        "PHOEBE_ABORT_TIMEOUT",
        "PHOEBE_ALLOW_ANY_EDGE",
        "PHOEBE_ALLOW_UNBILLABLE",
        "PHOEBE_AUTH_ID_HEADER",
        "PHOEBE_BASE_MODEL_HEADER",
        "PHOEBE_BODY_LIMIT",
        "PHOEBE_CONFIG",
        "PHOEBE_CONNECTIONS_MAX",
        "PHOEBE_CORS_ORIGINS",
        "PHOEBE_DRAIN_DELAY",
        "PHOEBE_DRAIN_TIMEOUT",
        "PHOEBE_EDGE_SECRET_FILE",
        "PHOEBE_EDGE_SECRET_HEADER",
        "PHOEBE_ENGINE",
        "PHOEBE_ENGINE_TIMEOUT",
        "PHOEBE_EXCHANGES_MAX",
        "PHOEBE_EXCHANGES_PER_AUTH_MAX",
        "PHOEBE_FORWARD_IDENTITY",
        "PHOEBE_GROUP_ID_HEADER",
        "PHOEBE_INSTALLATION",
        "PHOEBE_LEAN",
        "PHOEBE_LOG_FORMAT",
        "PHOEBE_LOG_LEVEL",
        "PHOEBE_METRICS",
        "PHOEBE_MODELS",
        "PHOEBE_NAME",
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
        "PHOEBE_SPOOL_MOVED_FROM",
        "PHOEBE_SPOOL_TRUST_GROUP",
        "PHOEBE_TRACING",
        "PHOEBE_TRUSTED_EDGES",
        "PHOEBE_UPSTREAM",
        "PHOEBE_USAGE",
        "PHOEBE_USER_ID_HEADER",
    }
)
"""Variables of the addon, which may run on the same machine. A test holds them against the addon's own."""


SHARED_VARIABLES = frozenset(
    {"PHOEBE_CONFIG", "PHOEBE_LOG_FORMAT", "PHOEBE_LOG_LEVEL", "PHOEBE_METRICS", "PHOEBE_TRACING"}
)
"""Variables that both halves have, each for itself."""


# Typer has a Click of its own, with no public names for its types.
def own_variables(command: Any) -> frozenset[str]:
    """List the variables that a command and all commands below it read, without those of other packages."""
    return frozenset(_variables(command))


def refuse_unknown(environment: Mapping[str, str], own: frozenset[str]) -> None:
    """Raise OperatorError if variables were meant to be Phoebe's, and are not known."""
    faults = unknown_variables(environment, own | ADDON_VARIABLES)
    if faults:
        raise OperatorError("; ".join(faults))


def _variables(command: Any) -> Iterator[str]:
    for parameter in command.params:
        given = parameter.envvar or ()
        yield from [given] if isinstance(given, str) else given
    for below in getattr(command, "commands", {}).values():
        yield from _variables(below)
