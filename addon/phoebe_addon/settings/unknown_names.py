"""Names that were meant to be Phoebe's and are not: a misspelt option must not count as one not given."""

from collections.abc import Collection, Iterable, Mapping

from phoebe_runtime.near_names import folded_name, is_meant_as_ours, question, rest_of, unknown_variables

RATER_VARIABLES = frozenset(
    {
        "PHOEBE_ALLOW_ANONYMOUS",
        "PHOEBE_ALLOW_PLAINTEXT",
        "PHOEBE_CONFIG",
        "PHOEBE_CONSOLE",
        "PHOEBE_DATA",
        "PHOEBE_DB_CONNECTIONS",
        "PHOEBE_INVOICE_ISSUER",
        "PHOEBE_LATE_DAYS",
        "PHOEBE_LISTEN",
        "PHOEBE_LOG_FORMAT",
        "PHOEBE_LOG_LEVEL",
        "PHOEBE_METRICS",
        "PHOEBE_MIGRATE_LOCK_TIMEOUT",
        "PHOEBE_MIGRATE_STATEMENT_TIMEOUT",
        "PHOEBE_MODEL_NAMES_MAX",
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
        "PHOEBE_TRACING",
    }
)
"""Variables of the rater, which may run on the same machine. A test holds them against the rater's own."""


def unknown_options(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Say which of the names that were given as options are not known, and were meant to be Phoebe's.

    Other names are the matter of mitmproxy and its other scripts.
    """
    return [
        f"there is no option {name}{question(name, known)}"
        for name in names
        if name not in known and is_meant_as_ours(name, known)
    ]


def nameless_options(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Say which names are those of options without their beginning.

    names: those that nobody knows after every script has declared its options: before, they may be another's.
    """
    rests = {rest_of(name): name for name in known}
    return [
        f"there is no option {name}; did you mean {rests[folded_name(name)]}?"
        for name in names
        if folded_name(name) in rests
    ]


def misspelt_variables(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Say which variables of the environment were meant to be Phoebe's, and are not known.

    known: the addon's own. Those of the rater are let be.
    """
    return unknown_variables(environment, {*known, *RATER_VARIABLES})
