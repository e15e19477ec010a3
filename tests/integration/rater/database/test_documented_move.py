"""The documented way from the embedded PostgreSQL to a server of one's own."""

import asyncio
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rater_service.database.database import Pool, open_pool
from rater_service.database.embedded import server
from rater_service.database.installation import read_installation
from rater_service.database.schema import migrate
from rater_service.events.store import store_events
from tests.harness.ledger import make_event

PAGE = Path(__file__).parents[4] / "docs" / "embedded-postgresql.md"


def documented() -> str:
    """Return the commands below the heading."""
    (commands,) = re.findall(r"## Moving.*?```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(commands)


async def test_all_of_an_embedded_database_comes_to_another_server(
    empty_database_url: str, tmp_path: Path
) -> None:
    now = datetime.now(UTC)  # of an hour that no run need have rated
    async with server(tmp_path / "data") as embedded:
        await migrate(embedded.url)
        async with open_pool(embedded.url) as pool:
            await store_events(pool, [make_event(now, producer_seq=number) for number in (1, 2, 3)], now)
            before = await contents(pool)

    done = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-e", "-c", documented()],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "DATABASE_URL": empty_database_url,
            "PHOEBE_DATA": str(tmp_path / "data"),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        },
    )

    assert done.returncode == 0, done.stdout + done.stderr
    async with open_pool(empty_database_url) as pool:
        assert await contents(pool) == before


async def contents(pool: Pool) -> tuple[object, ...]:
    installation = await read_installation(pool)
    events = await pool.fetch("SELECT request_id, event_time FROM billing_event ORDER BY request_id")
    sums = await pool.fetch("SELECT * FROM hourly_usage ORDER BY 1, 2")
    return installation, [tuple(row) for row in events], [tuple(row) for row in sums]
