"""Parameters of a database's URL that other clients know and the driver does not.

The driver takes each parameter that it does not know for a setting of the server, which then refuses the
session. Names and meanings are those of libpq ("Connection Strings").
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from rater_service.errors import OperatorError

# Their meaning is a choice that the driver does not have, or makes in the same way.
_WITHOUT_EFFECT = frozenset({"gssencmode", "sslcompression", "sslsni"})
_SOCKET_OPTIONS = {
    "keepalives": "SO_KEEPALIVE",
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
_RENAMED = {"fallback_application_name": "application_name"}
# libpq's own least.
_CONNECT_TIMEOUT_MIN_S = 2


@dataclass(frozen=True, slots=True)
class ParsedUrl:
    """A URL that the driver takes as it is.

    connect_timeout_s: 0: no limit; None: not given. socket_options: by name, for our end of the connection.
    """

    url: str
    connect_timeout_s: float | None
    socket_options: dict[str, int]


def parse_url(url: str, variable: str = "DATABASE_URL") -> ParsedUrl:
    """Take out what the driver does not know. Raises OperatorError for a value that can't be met.

    variable: where the URL comes from, for messages. What is no URL is left to the driver.
    """
    parts = urlsplit(url)
    timeout_s: float | None = None
    options: dict[str, int] = {}
    left: list[tuple[str, str]] = []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name == "connect_timeout":
            timeout_s = _number(variable, name, value)
            timeout_s = max(timeout_s, _CONNECT_TIMEOUT_MIN_S) if timeout_s > 0 else 0
        elif name in _SOCKET_OPTIONS:
            options[_SOCKET_OPTIONS[name]] = _number(variable, name, value)
        elif name == "channel_binding":
            _refuse_required_binding(variable, value)
        elif name not in _WITHOUT_EFFECT:
            left.append((_RENAMED.get(name, name), value))
    if left == parse_qsl(parts.query, keep_blank_values=True):
        return ParsedUrl(url, timeout_s, options)  # as it was given, to the letter
    return ParsedUrl(urlunsplit(parts._replace(query=urlencode(left))), timeout_s, options)


def place_of(url: str) -> str:
    """Say where the database of a URL is, without who connects and how: a password may be in that."""
    parts = urlsplit(url)
    at = parts.netloc.rpartition("@")[2]
    if not at:
        at = next((value for name, value in parse_qsl(parts.query) if name == "host"), "")
    return at or "this machine"


def _number(variable: str, name: str, value: str) -> int:
    if not value.lstrip("-").isdecimal():
        raise OperatorError(f"{variable}: {name} is {value[:20]!r}, which is not a whole number")
    return int(value)


def _refuse_required_binding(variable: str, value: str) -> None:
    if value == "require":
        raise OperatorError(
            f"{variable}: channel_binding=require can't be met, because the driver has none: leave it out, "
            "and let sslmode=verify-full prove who the server is"
        )
    if value not in {"prefer", "disable"}:
        raise OperatorError(f"{variable}: channel_binding is prefer, disable or require")
