"""The edge's secrets as a file, which may change while the proxy runs."""

import stat
from pathlib import Path

from phoebe_addon.gate.edge_secrets import (
    SECRET_LENGTH_MAX,
    SECRETS_MAX,
    EdgeSecrets,
    EdgeSecretsError,
    parse_secrets,
)

# Anything longer is another file.
_FILE_BYTES_MAX = 2 * SECRETS_MAX * SECRET_LENGTH_MAX


class EdgeSecretsFile:
    """Secrets on disk, read again when they change. Raises EdgeSecretsError if they can't be used at first.

    secrets: those in use. warnings: what the operator should mend although it works.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int, int] | None = None
        self.secrets = EdgeSecrets()
        self.warnings: tuple[str, ...] = ()
        self.refresh()

    def refresh(self) -> bool:
        """Read the file if it changed since it was last read, and say whether it had.

        Raises EdgeSecretsError for a file that can't be used, once for each version; the secrets in use stay.
        """
        try:
            status = self._path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version == self._version:
                return False
            content = self._content()
        except OSError as error:
            if self._version is None and self.secrets.secrets:
                return False  # it has been said
            self._version = None
            # Not by its name: whoever takes the option for the secret itself must not find it in the log.
            raise EdgeSecretsError(
                f"can't read the file that phoebe_edge_secret_file names: {error.strerror}"
            ) from None
        self._version = version
        self.secrets = parse_secrets(content, str(self._path))
        open_to_all = bool(status.st_mode & stat.S_IROTH)
        self.warnings = (f"{self._path} can be read by every user of this machine",) if open_to_all else ()
        return True

    def _content(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX + 1)
