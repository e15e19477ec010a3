"""A real primary with a real standby: what is read from the standby is as of a moment, and says of which."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import httpx
import pytest

from phoebe_proto.v1.rating_pb2 import GetEventRequest, ListRatedUsageRequest, RateWindowRequest
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from phoebe_runtime.background import Background
from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.findings import Finding
from rater_service.cli import main
from rater_service.cli.reading import Databases, read_bills
from rater_service.console.access import Sessions
from rater_service.console.app import Console, ConsoleSettings
from rater_service.console.json_calls import AS_OF_HEADER, JsonCalls
from rater_service.database.database import Pool, open_pool
from rater_service.database.freshness import Freshness, read_freshness, read_mark
from rater_service.database.schema import migrate
from rater_service.database.source import Source
from rater_service.errors import OperatorError
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import store_events
from rater_service.hours import hour_of
from rater_service.service.rating import AS_OF_KEY, RatingReads
from rater_service.service.reads import Reads
from rater_service.service.server import running_server
from rater_service.wire_time import to_timestamp
from rig.postgres import execute
from tests.harness.ledger import ONE_HOUR, Ledger, make_event
from tests.harness.own_postgres import OwnPostgres, binaries_of, own_postgres
from tests.harness.postgres import PostgresServer
from tests.harness.waiting import until_found

pytestmark = pytest.mark.one_postgres

REPLAYED = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
NO_DATA = Path("/nonexistent")
NOW = datetime.now(UTC)
HOUR = hour_of(NOW) - 3 * ONE_HOUR
"""Clocks of real servers are real: their events are of today."""
WINDOW = ("--since", f"{HOUR:%Y-%m-%dT%H:00Z}", "--until", f"{HOUR + ONE_HOUR:%Y-%m-%dT%H:00Z}")
AT_ONCE = {"fsync": "off", "max_standby_streaming_delay": "0", "autovacuum": "off"}
"""The standby cancels at once what is in its way, and the primary cleans up only when it is told to."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary, and a standby of it."""

    primary: OwnPostgres
    standby: OwnPostgres

    @property
    def options(self) -> tuple[str, ...]:
        return ("--database-url", self.primary.url, "--read-database-url", self.standby.url)

    @property
    def databases(self) -> Databases:
        return Databases(self.primary.url, self.standby.url, NO_DATA)


@pytest.fixture(scope="module")
def pair(postgres: PostgresServer) -> Iterator[Pair]:
    binaries = binaries_of(postgres.url)
    with (
        tempfile.TemporaryDirectory(prefix="phoebe-pg-") as one,
        tempfile.TemporaryDirectory(prefix="phoebe-pg-") as other,
        own_postgres(binaries, Path(one), settings=AT_ONCE) as primary,
    ):
        asyncio.run(migrate(primary.url))
        with own_postgres(binaries, Path(other), settings=AT_ONCE, primary=primary) as standby:
            yield Pair(primary, standby)


@pytest.fixture
async def primary(pair: Pair) -> AsyncIterator[Ledger]:
    async with open_pool(pair.primary.url) as pool:
        ledger = Ledger(pool)
        await ledger.load(at=HOUR - ONE_HOUR)
        yield ledger


@pytest.fixture
async def standby(pair: Pair) -> AsyncIterator[Pool]:
    async with open_pool(pair.standby.url, writes=False, read_only=True) as pool:
        yield pool


async def send(ledger: Ledger, *numbers: int, producer: str, complete_until: datetime) -> None:
    """Store events with these numbers, and the status that came with them."""
    status = StatusRow(producer, numbers[-1], 0, 0, complete_until, stopped=False, lost_rows=0)
    events = [make_event(HOUR, producer_id=producer, producer_seq=number) for number in numbers]
    await store_events(ledger.pool, events, datetime.now(UTC), status)


async def until_replayed(ledger: Ledger, standby: Pool) -> None:
    written = await ledger.pool.fetchval("SELECT pg_current_wal_flush_lsn()::text")
    await until_found(standby, REPLAYED, written)


@asynccontextmanager
async def paused(pair: Pair) -> AsyncIterator[None]:
    await execute(pair.standby.url, "SELECT pg_wal_replay_pause()")
    try:
        yield
    finally:
        await execute(pair.standby.url, "SELECT pg_wal_replay_resume()")


async def test_a_standby_that_is_behind_makes_no_false_finding(
    pair: Pair, primary: Ledger, standby: Pool
) -> None:
    async def audited(source: Source) -> tuple[Any, datetime]:
        return await audit(source.pool, AuditRequest(producer_id="spool-a"), source.now), source.now

    complete = datetime.now(UTC)
    await send(primary, 1, 2, 3, producer="spool-a", complete_until=complete)
    await primary.rate(HOUR, now=datetime.now(UTC))
    await until_replayed(primary, standby)
    async with paused(pair):
        # What comes now: events, the word that there are six, and the run that bills them.
        await send(primary, 4, 5, 6, producer="spool-a", complete_until=complete + 2 * ONE_HOUR)
        await primary.rate(HOUR, now=datetime.now(UTC))
        (result, now), freshness = await read_bills(pair.databases, audited)
        assert freshness is not None
        assert freshness.is_standby
        assert freshness.behind > timedelta(0)
        assert result.proven, result.findings.differences
        assert result.audited_at == now == freshness.as_of
        assert [producer.last_seq for producer in result.findings.producers] == [3]

        # By a clock that is hours ahead of what the standby has, it would be a false one.
        later = await audit(standby, AuditRequest(producer_id="spool-a"), now + 2 * ONE_HOUR)
        assert set(later.findings.difference_counts) == {Finding.INCOMPLETE_PRODUCER}
    await until_replayed(primary, standby)
    (result, _), freshness = await read_bills(pair.databases, audited)
    assert freshness is not None
    assert freshness.behind == timedelta(0)
    assert result.proven, result.findings.differences
    assert [producer.last_seq for producer in result.findings.producers] == [6]


async def test_commands_read_from_a_standby_and_say_as_of_when(
    pair: Pair, primary: Ledger, standby: Pool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await send(primary, 1, producer="spool-b", complete_until=HOUR)
    request = str(await primary.pool.fetchval("SELECT request_id FROM billing_event LIMIT 1"))
    await primary.rate(HOUR, now=datetime.now(UTC))
    await until_replayed(primary, standby)
    rollup = str(await primary.pool.fetchval("SELECT id FROM rated_usage"))
    run = str(await primary.pool.fetchval("SELECT max(id) FROM rating_run"))
    capsys.readouterr()

    async def said(*words: str) -> tuple[str, str]:
        assert await asyncio.to_thread(main, [*words, *pair.options]) in {0, 2}, capsys.readouterr().err
        return capsys.readouterr()

    async with paused(pair):
        await primary.store(make_event(HOUR))  # which the standby does not have yet
        since = await primary.pool.fetchval("SELECT clock_timestamp()")
        commands: tuple[tuple[str, ...], ...] = (
            ("report", *WINDOW),
            ("audit", *WINDOW),
            ("explain", rollup),
            ("event", request),
            ("runs", "list"),
            ("runs", "show", run),
        )
        for words in commands:
            document = json.loads((await said(*words, "--json"))[0])
            assert document["read_from"]["standby"] is True, words
            assert document["read_from"]["behind_s"] > 0, words
        for words in commands[:2]:
            out, _ = await said(*words)
            assert out.startswith("read from a standby, as of 20"), (words, out)
            assert "Z, at most " in out.partition("\n")[0]
        file = tmp_path / "bill.csv"
        for words in (
            ("report", *WINDOW, "--format", "csv"),
            ("export", *WINDOW, "--format", "csv", "-o", str(file)),
        ):
            assert "read from a standby, as of " in (await said(*words))[1], words
        assert file.read_text().count("\n") == 2
        as_of = ("--as-of", since.isoformat())
        assert await asyncio.to_thread(main, ["report", *WINDOW, *as_of, *pair.options]) == 1
        assert "is later than what the standby has" in capsys.readouterr().err
    await until_replayed(primary, standby)
    assert (await said("report", *WINDOW))[0].partition("\n")[0].endswith("Z, 0 s behind")


def in_the_way(pair: Pair, standby: Pool, fails: Callable[[], bool]) -> Callable[[Source], Awaitable[int]]:
    """Make what reads, and is in the way of what the primary has cleaned up while it reads, as often as that
    fails.
    """

    async def read(source: Source) -> int:
        async with source.pool.snapshot() as connection:
            count: int = await connection.fetchval("SELECT count(*) FROM rating_run")
            if fails():
                primary = await asyncpg.connect(pair.primary.url)
                try:
                    await primary.execute("UPDATE producer SET name = 'x'")
                    await primary.execute("VACUUM producer")
                    # What is cleaned up is sent with the next commit.
                    await primary.execute("UPDATE producer SET name = 'y'")
                    written = await primary.fetchval("SELECT pg_current_wal_flush_lsn()::text")
                finally:
                    await primary.close()
                await until_found(standby, REPLAYED, written)
            await connection.fetchval("SELECT count(*) FROM producer")
            return count

    return read


async def test_what_a_standby_cancels_is_read_again_and_at_last_it_says_what_to_set(
    pair: Pair, primary: Ledger, standby: Pool
) -> None:
    await send(primary, 1, producer="spool-c", complete_until=HOUR)
    left = [True, True]
    runs = await primary.pool.fetchval("SELECT count(*) FROM rating_run")
    counted, _ = await read_bills(
        pair.databases, in_the_way(pair, standby, lambda: bool(left and left.pop()))
    )
    assert counted == runs
    assert not left

    with pytest.raises(OperatorError, match=r"cancelled it 1 times .* hot_standby_feedback = on"):
        await read_bills(pair.databases, in_the_way(pair, standby, lambda: True), once=True)


async def test_a_service_reads_from_the_standby_and_never_behind_its_own_runs(
    pair: Pair, primary: Ledger, standby: Pool
) -> None:
    event = make_event(HOUR, auth_id="carol")
    listing = ListRatedUsageRequest(auth_id="carol")
    window = RateWindowRequest(window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR))
    noted: list[Freshness | None] = []
    await until_replayed(primary, standby)
    async with (
        Background() as background,
        Reads(primary.pool, noted.append).following(pair.standby.url, background) as reads,
        running_server(primary.pool, "127.0.0.1:0", asyncio.Event(), reads=reads) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = RatingServiceStub(channel)

        async def listed() -> tuple[int, bool]:
            """Say how many rollups there are, and whether they are those of the standby."""
            call = stub.ListRatedUsage(listing)
            rows = len((await call).rated_usage)
            return rows, AS_OF_KEY in dict(await call.trailing_metadata())

        assert noted
        assert noted[0] is not None
        assert await listed() == (0, True)
        async with paused(pair):
            await primary.store(event)
            # What the standby lacks is looked for in the database itself.
            found = await stub.GetEvent(GetEventRequest(request_id=event.request_id))
            assert found.event.event.request_id == event.request_id
            await stub.RateWindow(window)
            assert await listed() == (1, False)
        await until_replayed(primary, standby)
        assert await listed() == (1, True)

        settings = ConsoleSettings("x", None, secure=False, port=1)
        calls = JsonCalls(RatingReads(primary.pool, reads), None)
        application = Console(reads, Sessions(None), settings, calls).application()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(application), base_url="http://console"
        ) as browser:
            page = await browser.get("/")
            assert "Read from a standby, as of " in page.text
            for answer in (page, await browser.get("/runs.csv"), await browser.get("/v1/runs")):
                assert datetime.fromisoformat(answer.headers[AS_OF_HEADER]) > NOW


async def test_a_service_goes_on_without_its_standby(primary: Ledger) -> None:
    noted: list[Freshness | None] = []
    nowhere = "postgresql://postgres@/postgres?host=/nonexistent"
    async with (
        Background() as background,
        Reads(primary.pool, noted.append).following(nowhere, background) as reads,
    ):
        assert noted == [None]
        source = await reads.source()
        assert source.pool is primary.pool
        assert not source.is_standby


async def test_the_doctor_says_how_far_the_standby_is_behind(
    pair: Pair, primary: Ledger, standby: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    await until_replayed(primary, standby)
    words = ("doctor", "--only", "database.standby", "--json", *pair.options)
    assert await asyncio.to_thread(main, list(words)) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["result"] == "ok"
    assert finding["message"].endswith("Z, 0 s behind")


async def test_what_is_read_from_can_not_be_written_to(pair: Pair, primary: Ledger, standby: Pool) -> None:
    async with open_pool(pair.primary.url, writes=False, read_only=True, connections_max=1) as pool:
        for _ in range(2):  # also the session that was given back
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                await pool.execute("DELETE FROM rated_usage")
    await primary.pool.execute("DELETE FROM rejected_event")


async def test_a_server_that_does_not_follow_the_primary_is_refused(
    database_url: str, pair: Pair, primary: Ledger, standby: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    async def read(url: str, primary_url: str | None = pair.primary.url) -> Source:
        async def given(source: Source) -> Source:
            return source

        return (await read_bills(Databases(primary_url, url, NO_DATA), given))[0]

    with pytest.raises(OperatorError, match="another cluster than DATABASE_URL"):
        await read(database_url)
    with pytest.raises(
        OperatorError, match=r"READ_DATABASE_URL: the database schema is empty, .* as it replays"
    ):
        await read(pair.standby.url.replace("/postgres?", "/template1?"))
    with pytest.raises(OperatorError, match="READ_DATABASE_URL is not a PostgreSQL URL"):
        await read("mysql://x")
    itself = (await read(pair.primary.url)).freshness
    assert itself is not None
    assert itself.in_words() == "READ_DATABASE_URL names a server that is no standby: it answers as of now"
    # Without the primary it answers, too, also a role that may do nothing but read.
    await primary.pool.execute("CREATE ROLE reader LOGIN IN ROLE pg_read_all_data")
    await until_replayed(primary, standby)
    url = pair.standby.url.replace("postgres@", "reader@")
    for primary_url in (None, "postgresql://postgres@/postgres?host=/nonexistent"):
        alone = (await read(url, primary_url)).freshness
        assert alone is not None
        assert alone.is_standby
        assert ("DATABASE_URL can't be asked" in capsys.readouterr().err) == (primary_url is not None)


@pytest.mark.long
async def test_a_standby_that_was_promoted_is_refused(
    postgres: PostgresServer, pair: Pair, primary: Ledger
) -> None:
    with tempfile.TemporaryDirectory(prefix="phoebe-pg-") as folder:
        server = await asyncio.to_thread(
            OwnPostgres,
            await asyncio.to_thread(binaries_of, postgres.url),
            Path(folder),
            primary=pair.primary,
        )
        await asyncio.to_thread(server.start)
        try:
            await execute(server.url, "SELECT pg_promote()")
            async with open_pool(server.url, writes=False) as pool, pool.acquire() as promoted:
                async with primary.pool.acquire() as session:
                    mark = await read_mark(session)
                with pytest.raises(OperatorError, match="was a standby and is none any more"):
                    await read_freshness(promoted, mark)
        finally:
            await asyncio.to_thread(server.stop)
