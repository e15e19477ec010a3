"""The spool folder of a run, looked at from outside."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx

from phoebe_addon.spool.sealed_record import unseal
from rig.metrics import parse_metrics

EMPTY_TIMEOUT_S = 60.0
_POLL_S = 0.05


class Spools:
    """The spools of all addons, in their folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def held(self) -> list[Path]:
        """The files that may hold something the rater has not had, those in use included."""
        return [path for path in self._folder.glob("spool*.sqlite3") if holds_something(path)]

    def damaged(self) -> list[str]:
        """The names of files that were found damaged and set aside."""
        return [path.name for path in self._folder.glob("*.damaged-*")]

    async def are_delivered(self, metrics_port: int) -> bool:
        """Wait until an addon has delivered its own spool and all that nobody has; False: it takes too long.

        metrics_port: of that addon.
        """
        deadline = time.monotonic() + EMPTY_TIMEOUT_S
        async with httpx.AsyncClient(trust_env=False) as client:
            while time.monotonic() < deadline:
                response = await client.get(f"http://127.0.0.1:{metrics_port}/metrics")
                waiting = parse_metrics(response.text)["phoebe_spool_events", ""]
                # Its own may hold something as long as it runs.
                if not waiting and len(self.held()) <= 1:
                    return True
                await asyncio.sleep(_POLL_S)
        return False


def holds_something(spool: Path) -> bool:
    """Whether the rater may not have had all of a spool file, or not know that it has."""
    log = spool.with_name(f"{spool.name}-wal")
    try:
        if log.exists() and log.stat().st_size:
            return True  # its process was killed, or runs
        with closing(sqlite3.connect(f"file:{spool}?immutable=1", uri=True)) as connection:
            (producer,) = connection.execute("SELECT record FROM producer").fetchone()
            (rows,) = connection.execute(
                "SELECT (SELECT count(*) FROM admitted) + (SELECT count(*) FROM waiting)"
            ).fetchone()
    except (FileNotFoundError, sqlite3.Error):
        return True  # somebody is at it this very moment
    has_said_so = unseal(producer).time_us == 1
    return bool(rows) or not has_said_so
