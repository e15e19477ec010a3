"""Beyond this machine the service listens only if connections are encrypted and callers are known."""

from dataclasses import dataclass
from ipaddress import ip_address

from rater_service.errors import OperatorError

_ENCRYPT = "connections are not encrypted: give --tls-cert and --tls-key, or allow it with --allow-plaintext"
_ASK = (
    "nobody is asked who they are: give --tokens FILE or --tls-client-ca FILE, or allow it with "
    "--allow-anonymous"
)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What protects the service, and what its operator allows it to do without."""

    encrypted: bool
    authenticated: bool
    allow_plaintext: bool
    allow_anonymous: bool


def refuse_exposure(listen: str, exposure: Exposure) -> None:
    """Raise OperatorError unless the service may listen on HOST:PORT."""
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65_535:
        raise OperatorError(f"can't listen on {listen!r}: expected HOST:PORT, for example 127.0.0.1:50051")
    if _is_loopback(host):
        return
    faults = []
    if not exposure.encrypted and not exposure.allow_plaintext:
        faults.append(_ENCRYPT)
    if not exposure.authenticated and not exposure.allow_anonymous:
        faults.append(_ASK)
    if faults:
        raise OperatorError(
            f"refusing to listen on {listen}, which can be reached from other machines: {'; '.join(faults)}"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
