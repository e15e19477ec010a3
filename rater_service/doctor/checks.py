"""All checks there are, in the order in which they are shown."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from rater_service.doctor.access import Access, Need
from rater_service.doctor.archive_checks import check_archive
from rater_service.doctor.canary import check_canary
from rater_service.doctor.clock_checks import check_clocks
from rater_service.doctor.database_checks import (
    check_connection,
    check_encryption,
    check_schema,
    check_server,
)
from rater_service.doctor.findings import Finding
from rater_service.doctor.http_checks import (
    check_console,
    check_edge_encryption,
    check_edge_headers,
    check_proxy_encryption,
    check_proxy_headers,
)
from rater_service.doctor.metrics_checks import (
    check_proxy_metrics,
    check_proxy_probes,
    check_rater_metrics,
    check_rater_probes,
    check_spool,
)
from rater_service.doctor.price_checks import check_coming, check_in_force, check_unused, check_used_models
from rater_service.doctor.rater_checks import (
    check_access,
    check_calls,
    check_credentials,
    check_rater_encryption,
    check_reflection,
)
from rater_service.doctor.role_checks import check_role
from rater_service.doctor.running_checks import check_producers, check_rejected, check_runs
from rater_service.doctor.standby_checks import check_standby
from rater_service.doctor.version_checks import check_versions


@dataclass(frozen=True, slots=True)
class Check:
    """One check. name: GROUP or GROUP.WHAT. about: what it looks at. needs: what it can't do without.

    look: makes it; gives one finding at least. own_time: it bounds itself how long it takes.
    """

    name: str
    about: str
    need: Need
    look: Callable[[Access], Awaitable[Sequence[Finding]]]
    own_time: bool = False

    @property
    def group(self) -> str:
        """The part of the name before the point."""
        return self.name.partition(".")[0]


CHECKS = (
    Check(
        "versions",
        "versions of this program, rater and proxies, of Python",
        Need.VERSIONS,
        check_versions,
        own_time=True,
    ),
    Check("clocks", "clocks of database, rater, proxies and this machine", Need.DATABASE, check_clocks),
    Check(
        "database.connection",
        "whether the database can be used, and which it is",
        Need.DATABASE,
        check_connection,
    ),
    Check(
        "database.encryption",
        "TLS of the session, sslmode, the server's certificate",
        Need.DATABASE,
        check_encryption,
    ),
    Check(
        "database.server",
        "version, settings that keep data, encoding, collation",
        Need.DATABASE,
        check_server,
    ),
    Check(
        "database.schema", "migrations, partitions, numbers, the installation", Need.DATABASE, check_schema
    ),
    Check(
        "database.standby",
        "whether it follows the primary, how far it is behind, its schema",
        Need.STANDBY,
        check_standby,
    ),
    Check("database.archive", "whether the archive can be read from here", Need.SCHEMA, check_archive),
    Check("database.role", "rights that the role lacks, or has too many", Need.SCHEMA, check_role),
    Check("rater.calls", "whether the gRPC port answers, and its services work", Need.RATER, check_calls),
    Check("rater.encryption", "TLS of the gRPC port, its certificate", Need.RATER, check_rater_encryption),
    Check("rater.access", "whether strangers may call", Need.RATER, check_access),
    Check("rater.reflection", "whether strangers may list methods", Need.RATER, check_reflection),
    Check("rater.credentials", "what a proxy's credentials may", Need.RATER, check_credentials),
    Check("rater.probes", "the rater's /readyz", Need.RATER_METRICS, check_rater_probes),
    Check(
        "rater.metrics", "files refused, tasks down, certificates", Need.RATER_METRICS, check_rater_metrics
    ),
    Check("proxy.probes", "the proxies' /readyz", Need.PROXY_METRICS, check_proxy_probes, own_time=True),
    Check(
        "proxy.metrics",
        "the way to the rater, spools, disks, files, certificates",
        Need.PROXY_METRICS,
        check_proxy_metrics,
        own_time=True,
    ),
    Check("proxy.encryption", "TLS of the proxy, its certificate", Need.PROXY, check_proxy_encryption),
    Check(
        "proxy.headers", "whether the proxy believes forged billing headers", Need.PROXY, check_proxy_headers
    ),
    Check("edge.encryption", "TLS of the edge, its certificate", Need.EDGE, check_edge_encryption),
    Check("edge.headers", "whether forged billing headers pass the edge", Need.EDGE, check_edge_headers),
    Check(
        "console", "whether the console answers, encrypted, and asks who reads", Need.CONSOLE, check_console
    ),
    Check("prices.in-force", "the price book in force, and the coming one", Need.SCHEMA, check_in_force),
    Check("prices.used-models", "models that were used and have no price", Need.SCHEMA, check_used_models),
    Check("prices.unused", "prices that nobody used", Need.SCHEMA, check_unused),
    Check("prices.coming", "models that the coming price book lacks", Need.SCHEMA, check_coming),
    Check(
        "producers", "proxies that are silent, behind, or have lost something", Need.SCHEMA, check_producers
    ),
    Check("spool", "disk and rights of a spool on this machine", Need.SPOOL, check_spool),
    Check("rating", "the last routine run, usage that no run has seen", Need.SCHEMA, check_runs),
    Check("rejected", "events that are kept aside", Need.SCHEMA, check_rejected),
    Check(
        "canary", "a request to a real model, followed to its money", Need.CANARY, check_canary, own_time=True
    ),
)


class UnknownCheckError(ValueError):
    """There is no check and no group of this name."""


def chosen(only: Iterable[str], skip: Iterable[str]) -> tuple[Check, ...]:
    """Give the checks to make: those of some names or groups (none: all), but for others.

    Raises UnknownCheckError.
    """
    wanted, unwanted = frozenset(only), frozenset(skip)
    known = {name for check in CHECKS for name in (check.name, check.group)}
    for name in sorted(wanted | unwanted):
        if name not in known:
            raise UnknownCheckError(name)
    return tuple(
        check
        for check in CHECKS
        if (not wanted or wanted & {check.name, check.group}) and not unwanted & {check.name, check.group}
    )
