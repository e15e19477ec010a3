"""The certificates that mitmproxy shows to clients: those of its option `certs`, and its own authority.

It reads the files when it starts or one of these options changes, and not when a file does. So what is found
here holds as long as the options do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mitmproxy import optmanager
from mitmproxy.options import CONF_BASENAME

from phoebe_runtime.durations import in_words
from phoebe_runtime.expiry import first_expiry

# As the alert PhoebeCertificateExpires.
_SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ServedCertificate:
    """A file with a certificate. use: `listener`, or `listener_ca` for what signs those that mitmproxy makes.

    ends_at: when the first of them ends, in seconds since 1970; NaN if none can be read.
    """

    use: str
    path: Path
    ends_at: float

    def warning(self, now: datetime) -> str | None:
        """Say that it has ended or ends within a week, and what to do. now: UTC-aware."""
        if not self.ends_at - now.timestamp() < _SOON.total_seconds():  # nor is NaN
            return None
        ends = datetime.fromtimestamp(self.ends_at, UTC)
        left = f"ends in {in_words(ends - now)}" if ends > now else "has ended"
        return (
            f"the certificate {self.path} {left}, at {ends:%Y-%m-%dT%H:%M:%SZ}: put a new one in its place, "
            "and restart mitmdump"
        )


def served_certificates(options: optmanager.OptManager) -> Iterator[ServedCertificate]:
    """Find what clients are shown. mitmproxy's option `certs` has `CERTIFICATE` or `NAMES=CERTIFICATE`."""
    names: set[str] = set()
    for given in options.certs:
        name, has_name, path = given.partition("=")
        names.add(name if has_name else "*")
        yield _read("listener", Path(path if has_name else given).expanduser())
    # One that is for all names leaves nothing to be made.
    if "*" not in names:
        yield _read("listener_ca", Path(options.confdir).expanduser() / f"{CONF_BASENAME}-ca.pem")


def _read(use: str, path: Path) -> ServedCertificate:
    return ServedCertificate(use, path, first_expiry(path))
