"""What a rater leaves behind that was killed."""

import asyncio
import os
import signal
import time
from pathlib import Path

from rig.processes import POLL_S, STOP_TIMEOUT_S


async def stop_orphaned_database(folder: Path) -> str | None:
    """Stops the embedded PostgreSQL below `folder` if the rater died without doing so; says so then."""
    pid_file = folder / "data" / "postgresql" / "postmaster.pid"
    if not pid_file.exists():
        return None
    try:
        # SIGINT is PostgreSQL's fast shutdown; it removes the file when it is done.
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGINT)
    except ProcessLookupError:
        return None
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while pid_file.exists():
        if time.monotonic() > deadline:
            return f"the embedded PostgreSQL did not stop within {STOP_TIMEOUT_S:.0f} s"
        await asyncio.sleep(POLL_S)
    return "the embedded PostgreSQL was left behind by the rater, and was stopped"
