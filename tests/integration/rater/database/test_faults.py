"""Each event is stored exactly once, whatever fails between the sender and the disk."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import grpc
import pytest

from phoebe_proto.v1 import metering_pb2 as pb
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from rater_service.database.database import Pool, open_pool
from rater_service.database.schema import migrate
from rater_service.service.server import running_server
from tests.harness.ledger import PRICES, make_event
from tests.harness.own_postgres import Line, OwnPostgres
from tests.harness.postgres import PostgresServer
from tests.harness.served_rater import ServedRater, served_rater
from tests.harness.waiting import until, until_statements_wait

pytestmark = pytest.mark.one_postgres

STORED, DUPLICATE = pb.EVENT_OUTCOME_STORED, pb.EVENT_OUTCOME_DUPLICATE


class Sender:
    """Sends events as an addon does: again and again until they are answered for."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = list(ports)
        self.outcomes: Counter[int] = Counter()
        self.failures: list[grpc.StatusCode] = []
        self.answered = 0

    async def send(self, *events: pb.MeteringEvent, last_seq: int = 0) -> list[int]:
        """Send a batch until it is answered for; returns the outcomes."""
        request = pb.StreamEventsRequest(
            events=events, status=pb.ProducerStatus(producer_id="spool-1", last_seq=last_seq)
        )
        async with asyncio.timeout(60):
            while True:
                answer = await self._try(request)
                if answer is not None:
                    outcomes = [int(result.outcome) for result in answer.results]
                    self.outcomes.update(outcomes)
                    self.answered += 1
                    return outcomes

    async def until_answered(self, more: int) -> None:
        """Wait until so many more batches were answered for."""
        wanted = self.answered + more
        await until(lambda: self.answered >= wanted)

    async def _try(self, request: pb.StreamEventsRequest) -> pb.StreamEventsResponse | None:
        port = self.ports[(self.answered + len(self.failures)) % len(self.ports)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = MeteringServiceStub(channel).StreamEvents()
            try:
                await call.write(request)
                answer = await call.read()
                assert isinstance(answer, pb.StreamEventsResponse)
                return answer
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                self.failures.append(await call.code())
                await asyncio.sleep(0.02)  # what the addon does as well: not to be a load of its own
                return None


@asynccontextmanager
async def rater_at(url: str) -> AsyncIterator[tuple[Pool, Sender]]:
    async with (
        open_pool(url) as pool,
        running_server(pool, "127.0.0.1:0", asyncio.Event()) as port,
    ):
        yield pool, Sender([port])


@pytest.fixture
def server(own_server: OwnPostgres) -> OwnPostgres:
    asyncio.run(migrate(own_server.url))
    return own_server


async def stored(url: str) -> tuple[int, int | None]:
    """How many events there are, and the last number its producer said."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM billing_event), (SELECT last_seq FROM producer)"
        )
    finally:
        await connection.close()
    assert row is not None
    return tuple(row)


@pytest.mark.parametrize(
    ("moment", "outcome"), [("cut_before", STORED), ("cut_after", DUPLICATE)], ids=["before", "after"]
)
def test_a_database_killed_around_the_commit_stores_each_event_once(
    server: OwnPostgres, tmp_path: Path, moment: str, outcome: int
) -> None:
    # asyncio.run is for the fixture's sake, which runs the loop itself.
    async def scenario() -> None:
        events = [make_event() for _ in range(3)]
        async with Line(server.folder, tmp_path) as line, rater_at(line.url) as (_, sender):
            setattr(line, moment, server.kill)
            sending = asyncio.create_task(sender.send(*events, last_seq=3))
            await until(lambda: sender.failures)
            await asyncio.to_thread(server.start)
            assert await sending == [outcome] * 3
            assert set(sender.failures) == {grpc.StatusCode.UNAVAILABLE}
        assert await stored(server.url) == (3, 3)

    asyncio.run(scenario())


FAIL_TWICE = """
CREATE SEQUENCE attempt;
CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- What a sequence gave is gone, also for a transaction that is rolled back.
    IF nextval('attempt') <= 2 THEN
        RAISE EXCEPTION 'not now' USING ERRCODE = '{code}';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fail_twice AFTER INSERT ON billing_event_default
FOR EACH STATEMENT EXECUTE FUNCTION fail_twice();
"""


@pytest.mark.parametrize(
    "code",
    ["40001", "40P01", "55P03", "57014", "57P01", "53100", "53300", "25006", "58030"],
    ids=[
        *("serialization-failure", "deadlock", "lock-timeout", "cancelled", "shutdown", "disk-full"),
        *("too-many-connections", "read-only-after-failover", "io-error"),
    ],
)
async def test_a_batch_the_database_could_not_take_is_stored_once_when_it_is_sent_again(
    pool: Pool, database_url: str, code: str
) -> None:
    await pool.execute(FAIL_TWICE.format(code=code))
    async with rater_at(database_url) as (_, sender):
        assert await sender.send(make_event(), make_event(outcome="?"), last_seq=2) == [
            STORED,
            pb.EVENT_OUTCOME_REJECTED,
        ]
    assert sender.failures == [grpc.StatusCode.UNAVAILABLE] * 2
    assert await stored(database_url) == (1, 2)
    assert await pool.fetchval("SELECT count(*) FROM rejected_event") == 1


async def test_a_connection_that_breaks_after_the_commit_makes_duplicates_of_nothing(
    postgres: PostgresServer, database_url: str, tmp_path: Path
) -> None:
    behind = Path(postgres.url.rpartition("host=")[2])
    url_behind = database_url.replace(str(behind), str(tmp_path))
    async with Line(behind, tmp_path) as line, rater_at(url_behind) as (_, sender):
        line.cut_after = lambda: None
        assert await sender.send(make_event(), last_seq=1) == [DUPLICATE]
        assert sender.failures == [grpc.StatusCode.UNAVAILABLE]
        line.cut_before = lambda: None
        assert await sender.send(make_event(), last_seq=2) == [STORED]
    assert await stored(database_url) == (2, 2)


async def test_a_stopping_service_finishes_and_answers_the_batch_it_is_at(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    async with (
        served_rater(tmp_path, {"DATABASE_URL": database_url}, "--prices", str(prices)) as rater,
        grpc.aio.insecure_channel(f"127.0.0.1:{rater.port}") as channel,
    ):
        async with pool.acquire() as other, other.transaction():
            await other.execute("LOCK TABLE stored_event IN ACCESS EXCLUSIVE MODE")
            call = MeteringServiceStub(channel).StreamEvents()
            await call.write(pb.StreamEventsRequest(events=[make_event()]))
            await until_statements_wait(other)
            rater.process.send_signal(signal.SIGTERM)
            # A call made now may be answered only when the service has ended, and that waits for this lock.
            await rater.running.until_says(r"server: (stopping)")
        answer = await call.read()
        assert isinstance(answer, pb.StreamEventsResponse)
        assert [result.outcome for result in answer.results] == [STORED]
        assert await call.code() == grpc.StatusCode.UNAVAILABLE
        assert await rater.running.ended() == 0
    assert "Traceback" not in rater.log()
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 1


async def test_a_rolling_restart_under_load_loses_nothing(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    stack = AsyncExitStack()
    async with stack:

        async def another() -> ServedRater:
            environment = {"DATABASE_URL": database_url}
            rater = served_rater(tmp_path, environment, "--prices", str(prices))
            return await stack.enter_async_context(rater)

        raters = [await another() for _ in range(2)]
        sender = Sender([rater.port for rater in raters])
        restarted = asyncio.Event()

        async def load() -> int:
            number = 0
            while not restarted.is_set():
                await sender.send(
                    *(make_event(producer_seq=number + n) for n in (1, 2, 3)), last_seq=number + 3
                )
                number += 3
            return number

        loading = asyncio.create_task(load())
        for place, rater in enumerate(raters):
            await sender.until_answered(3)
            rater.process.terminate()
            assert await rater.running.ended() == 0
            sender.ports[place] = (await another()).port
        await sender.until_answered(3)
        restarted.set()
        sent = await loading
    assert sender.failures
    assert sum(sender.outcomes.values()) == sent
    assert set(sender.outcomes) <= {STORED, DUPLICATE}
    row = await pool.fetchrow(
        "SELECT count(*), count(DISTINCT producer_seq), max(producer_seq) FROM billing_event"
    )
    assert row is not None
    assert tuple(row) == (sent, sent, sent)
    assert await pool.fetchval("SELECT last_seq FROM producer") == sent
