"""A real primary, its standby and a switch-over: who writes follows the primary, and says so meanwhile."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from phoebe_proto.v1.rating_pb2 import RateWindowRequest, RateWindowResponse
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rater_service.cli import main
from rater_service.database.database import open_pool
from rater_service.database.schema import migrate
from rater_service.database.sessions import TakesNoWritesError
from rater_service.errors import OperatorError
from rater_service.service.metrics import Metrics
from rater_service.service.server import running_server
from rater_service.wire_time import to_timestamp
from rig.postgres import execute
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.own_postgres import OwnPostgres, binaries_of, own_postgres
from tests.harness.postgres import PostgresServer
from tests.harness.switching_address import SwitchingAddress
from tests.harness.waiting import until_found, until_told
from tests.integration.rater.database.test_faults import Sender

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
WINDOW = RateWindowRequest(window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR))
WITHIN_S = 5
"""What is promised of a switch-over: so long after it all is well again. Other waits are not held to it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two servers; at first one follows the other."""

    first: OwnPostgres
    second: OwnPostgres


@pytest.fixture
def pair(postgres: PostgresServer) -> Iterator[Pair]:
    binaries = binaries_of(postgres.url)
    with (
        tempfile.TemporaryDirectory(prefix="phoebe-pg-") as one,
        tempfile.TemporaryDirectory(prefix="phoebe-pg-") as other,
        own_postgres(binaries, Path(one)) as first,
    ):
        asyncio.run(migrate(first.url))
        with own_postgres(binaries, Path(other), primary=first) as second:
            yield Pair(first, second)


@dataclass(frozen=True, slots=True)
class Served:
    """A service on a database, and what it tells of it."""

    ledger: Ledger
    sender: Sender
    channel: grpc.aio.Channel
    metrics: Metrics

    async def until_told(self, status: int) -> None:
        """Wait until health and the metric both tell whether the database can be used."""
        stub = health_pb2_grpc.HealthStub(self.channel)

        async def is_so() -> bool:
            told = (await stub.Check(health_pb2.HealthCheckRequest())).status
            up = self.metrics.registry.get_sample_value("phoebe_database_up")
            return (told, up) == (status, float(status == SERVING))

        await until_told(is_so)

    async def rate(self) -> RateWindowResponse:
        return await RatingServiceStub(self.channel).RateWindow(WINDOW)


@asynccontextmanager
async def served(url: str) -> AsyncIterator[Served]:
    metrics = Metrics()
    async with (
        open_pool(url) as pool,
        running_server(pool, "127.0.0.1:0", asyncio.Event(), metrics=metrics) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Served(Ledger(pool), Sender([port]), channel, metrics)


async def test_after_a_switch_over_who_writes_follows_the_primary(pair: Pair) -> None:
    first, second = pair.first, pair.second
    async with SwitchingAddress(first) as address, served(address.url) as service:
        await service.ledger.load()
        await service.sender.send(make_event(), last_seq=1)
        await service.until_told(SERVING)

        # As an operator does it. The address still leads to the server that was the primary.
        await asyncio.to_thread(first.shut_down)
        first.follow(second)
        await execute(second.url, "SELECT pg_promote()")
        await asyncio.to_thread(first.start)
        sending = asyncio.create_task(service.sender.send(make_event(), last_seq=2))
        await service.until_told(NOT_SERVING)
        assert not sending.done()
        assert set(service.sender.failures) <= {grpc.StatusCode.UNAVAILABLE}

        address.switch_to(second)
        async with asyncio.timeout(WITHIN_S):
            await sending
            assert (await service.rate()).events_rated == 2
            await service.until_told(SERVING)


async def store_again_and_again(ledger: Ledger) -> NoReturn:
    while True:
        await ledger.store(make_event())


@pytest.mark.one_postgres
async def test_sessions_that_became_read_only_are_dropped_at_once(pair: Pair) -> None:
    async with SwitchingAddress(pair.first) as address, open_pool(address.url) as pool:
        ledger = Ledger(pool)
        await ledger.load()
        async with pool.acquire(), pool.acquire(), pool.acquire():
            pass  # now there are three
        await execute(pair.second.url, "SELECT pg_promote()")
        # As managed services take the writes from a primary: its sessions live on.
        await execute(
            pair.first.url, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
        )
        address.switch_to(pair.second)
        async with asyncio.timeout(WITHIN_S):
            with pytest.raises(TakesNoWritesError):
                await store_again_and_again(ledger)
            async with pool.acquire() as one, pool.acquire() as two, pool.acquire() as three:
                for session in (one, two, three):
                    assert await session.fetchval("SHOW default_transaction_read_only") == "off"
            await ledger.store(make_event())


@pytest.mark.one_postgres
async def test_of_several_servers_the_one_is_used_that_takes_writes(pair: Pair) -> None:
    both = f"postgresql://postgres@/postgres?host={pair.second.folder},{pair.first.folder}"
    async with open_pool(both) as pool:
        await Ledger(pool).store(make_event())
        assert await pool.fetchval("SHOW unix_socket_directories") == str(pair.first.folder)
    async with open_pool(both, writes=False) as pool:
        assert await pool.fetchval("SELECT pg_is_in_recovery()")
    with pytest.raises(OperatorError, match="the server is a standby and takes no writes"):
        await open_pool(pair.second.url).__aenter__()
    await asyncio.to_thread(pair.first.shut_down)
    with pytest.raises(OperatorError, match=r"none of the 2 servers .* server 1: the server is a standby"):
        await open_pool(both).__aenter__()


@pytest.mark.one_postgres
async def test_a_standby_answers_commands_that_only_read(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def phoebe(*words: str) -> int:
        return await asyncio.to_thread(main, [*words, "--database-url", pair.second.url])

    async with open_pool(pair.first.url) as pool:
        ledger = Ledger(pool)
        await ledger.load()
        await ledger.store(make_event(producer_seq=1))
        await ledger.rate()
        written = await pool.fetchval("SELECT pg_current_wal_lsn()::text")
    async with open_pool(pair.second.url, writes=False) as standby:
        await until_found(standby, "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", written)

    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    window = ("--since", "2026-11-19", "--until", "2026-11-21")
    book = sha256(PRICES).hexdigest()
    for words in (
        ("report", *window),
        ("export", *window, "--format", "csv", "-o", str(tmp_path / "bill.csv")),
        ("explain", "1"),
        ("audit", *window),
        ("quote", "meta/base-a"),
        ("prices", "list"),
        ("prices", "show", book),
        ("prices", "check", str(prices)),
        ("prices", "diff", str(prices)),
        ("installation", "show"),
        ("producers", "list"),
        ("rejected", "list"),
        ("sums", "rebuild", "--dry-run"),
        ("prune", "--before", "2026-11-16", "--dry-run"),
    ):
        assert await phoebe(*words) in {0, 2}, (words, capsys.readouterr().err)
    for writing in (("rate",), ("prices", "withdraw"), ("forget", "--user-id", "nobody", "--yes")):
        assert await phoebe(*writing) == 1
        assert capsys.readouterr().err.endswith(
            "can't be used: the server is a standby and takes no writes\n"
        ), writing
