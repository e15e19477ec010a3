"""With PgBouncer in between: as without in session mode, and a clear refusal at the start in any other."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from rater_service.database.database import open_pool
from rater_service.database.schema import migrate
from rater_service.errors import OperatorError
from tests.harness.ledger import PRICES, Ledger, make_event
from tests.harness.own_postgres import OwnPostgres, binaries_of, own_postgres
from tests.harness.pgbouncer import PROGRAM, pgbouncer
from tests.harness.postgres import PostgresServer
from tests.integration.rater.database.test_sessions import SETTINGS

pytestmark = [
    pytest.mark.one_postgres,
    pytest.mark.skipif(PROGRAM is None, reason="this machine has no PgBouncer"),
]


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[OwnPostgres]:
    """A server that lets a pooler in: the embedded one lets nobody but its own user."""
    with (
        tempfile.TemporaryDirectory(prefix="phoebe-pg-") as folder,
        own_postgres(binaries_of(postgres.url), Path(folder), settings={"fsync": "off"}) as running,
    ):
        yield running


@pytest.fixture
async def database_url(server: OwnPostgres) -> str:
    name = f"behind_pooler_{uuid4().hex}"
    connection = await asyncpg.connect(server.url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    url = server.url.replace("/postgres?", f"/{name}?")
    await migrate(url)
    return url


async def test_everything_works_in_session_mode(database_url: str) -> None:
    with pgbouncer(database_url, "session") as url:
        assert (await migrate(url)).left == ()
        await work(url)


async def work(url: str) -> None:
    async with open_pool(url) as pool:
        ledger = Ledger(pool)
        await ledger.load()
        await asyncio.gather(*(ledger.store(*(make_event() for _ in range(5))) for _ in range(8)))
        results = await asyncio.gather(*(ledger.rate() for _ in range(3)))
        assert sorted(result.rollups_written for result in results) == [0, 0, 1]
        async with pool.acquire() as session:
            set_to = {name: await session.fetchval(f"SHOW {name}") for name in SETTINGS}
        # PgBouncer's own session with the server is on a socket here, where there is nothing to keep alive.
        assert {name: value for name, value in set_to.items() if not name.startswith("tcp_")} == {
            name: value for name, value in SETTINGS.items() if not name.startswith("tcp_")
        }


@pytest.mark.parametrize(
    "settings", [{}, {"server_round_robin": "1", "min_pool_size": "3"}], ids=["lifo", "robin"]
)
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_shared_sessions_are_refused_at_the_start(
    database_url: str, mode: str, settings: dict[str, str]
) -> None:
    with pgbouncer(database_url, mode, **settings) as url:
        if settings:
            await busy(url)
        with pytest.raises(OperatorError, match="use pool_mode=session"):
            await open_pool(url).__aenter__()
        with pytest.raises(OperatorError, match="use pool_mode=session"):
            await migrate(url)


async def busy(url: str) -> None:
    """Make PgBouncer have several sessions with the server to lend."""
    sessions = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(3)]
    await asyncio.gather(*(session.execute("SELECT pg_sleep(0.1)") for session in sessions))
    for session in sessions:
        await session.close()


async def test_a_command_says_so_in_a_line(database_url: str, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    with pgbouncer(database_url, "transaction") as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rater_service.cli", "serve", "--listen", "127.0.0.1:0"),
            *("--prices", str(prices), "--database-url", url),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().splitlines()[-1].startswith("phoebe: between Phoebe and the database is a pooler")
