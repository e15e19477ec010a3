from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phoebe_addon.spool.spool import Spool
from phoebe_addon.spool.spools import open_own

BYTES_MAX = 100 * 1024 * 1024


@pytest.fixture
def open_spool(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    """Open the spool of the test, as often as it likes; all are closed in the end."""
    opened: list[Spool] = []

    def open_one(bytes_max: int = BYTES_MAX) -> Spool:
        opened.append(open_own(tmp_path / "spool", bytes_max))
        return opened[-1]

    yield open_one
    for spool in opened:
        spool.close()
