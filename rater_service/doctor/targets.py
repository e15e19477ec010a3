"""What the doctor is told of an installation: where its parts are, and what it may use to ask them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:  # slow to import
    from phoebe_client import Connection

HTTPS_PORT = 443
HTTP_PORT = 80


class Purpose(StrEnum):
    """What the database's role is for; docs/roles.md says what each may."""

    SERVICE = "service"
    READER = "reader"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class HeaderNames:
    """The headers that the addon takes from an edge: who pays, for which deployment, its secret, others."""

    auth_id: str = "X-Saturn-Auth-Id"
    resource_id: str = "X-Saturn-Resource-Id"
    edge_secret: str = "X-Phoebe-Edge-Secret"  # noqa: S105
    others: tuple[str, ...] = (
        "X-Saturn-Base-Model",
        "X-Saturn-User-Id",
        "X-Saturn-Group-Id",
        "X-Saturn-Resource-Type",
    )

    def forged(self) -> dict[str, str]:
        """Give what a client would send who wants somebody else to pay."""
        return {
            self.auth_id: FORGED_AUTH_ID,
            self.resource_id: FORGED_RESOURCE_ID,
            **dict.fromkeys(self.others, FORGED_AUTH_ID),
        }


FORGED_AUTH_ID = "phoebe-doctor-forged"
"""Nobody's id: where it is believed, the forged headers got through."""
FORGED_RESOURCE_ID = "phoebe-doctor-forged"


@dataclass(frozen=True, slots=True)
class Canary:
    """A request to a real model that is followed to its money.

    auth_id, resource_id: whom it is metered to where it is sent to a proxy; an edge says it itself. within:
    how long its event may take to the database.
    """

    model: str
    auth_id: str
    resource_id: str
    within: timedelta


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the parts are; None or empty: nobody said.

    rater: with the credentials of a proxy. rater_metrics, proxy_metrics, console, proxy, edge: URLs without a
    path. spool: a folder on this machine. edge_secret: what the edge shows the proxy. edge_headers: what a
    customer shows the edge. ca_file: authorities to trust as well, for HTTPS. purpose: what the database's
    role is for. days: how far back to look at usage. read_database_url: of a standby, perhaps with
    a password.
    """

    rater: "Connection | None" = None
    rater_metrics: str | None = None
    proxy_metrics: Sequence[str] = ()
    proxy: str | None = None
    edge: str | None = None
    console: str | None = None
    spool: Path | None = None
    canary: Canary | None = None
    edge_secret: str | None = field(default=None, repr=False)
    edge_headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    header_names: HeaderNames = HeaderNames()
    ca_file: Path | None = None
    purpose: Purpose = Purpose.SERVICE
    days: int = 7
    read_database_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, of which a connection can be opened."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name alone."""
    return host in {"", "localhost", "::1"} or host.startswith(("127.", "/"))


def address_of_url(url: str) -> Address:
    """Give the host and port of an HTTP URL that `require_url` let pass."""
    parts = urlsplit(url)
    default = HTTPS_PORT if parts.scheme == "https" else HTTP_PORT
    return Address(parts.hostname or "", parts.port or default)


def address_of(target: str) -> Address:
    """Give the host and port of HOST:PORT."""
    host, _, port = target.rpartition(":")
    return Address(host.strip("[]"), int(port))


def require_url(url: str) -> str:
    """Return a URL without a slash at its end.

    Raises ValueError, which does not quote it: it may hold a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL: http://HOST:PORT or https://HOST:PORT")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be a URL without user, query and fragment")
    _ = parts.port  # raises ValueError
    return url.rstrip("/")
