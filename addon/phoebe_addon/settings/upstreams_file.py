"""The map from resource id to engine as a file, which may change while the proxy runs."""

from pathlib import Path

from phoebe_addon.gate.upstreams import Upstreams, UpstreamsError, parse_map


class UpstreamsFile:
    """A map on disk, read again when it changed. Raises UpstreamsError if it can't be read at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int, int] | None = None
        self.upstreams = Upstreams({})
        self.refresh()

    def refresh(self) -> bool:
        """Read the map if it changed since it was last read, and say whether it had.

        Raises UpstreamsError for a map that can't be used; the one in use stays.
        """
        try:
            status = self._path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version == self._version:
                return False
            self._version = version
            self.upstreams = parse_map(self._path.read_text("utf-8"), str(self._path))
        except (OSError, UnicodeDecodeError) as error:
            raise UpstreamsError(f"{self._path}: can't be read: {error}") from None
        return True
