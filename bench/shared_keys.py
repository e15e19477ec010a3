"""Small batches of common customers, each committed on its own: whether they wait for each other's COMMIT."""

import asyncio
import gc
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median

import asyncpg
import grpc

from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from bench.two_raters import Line, check_stored
from demo.bill import Rater

NAMES = ("ingest_shared_keys",)
REFERENCE = "the same batches, each stream with customers of its own"
BATCH_EVENTS = 20
STREAMS = 8
TURN_BATCHES = 40  # of each stream
ROUND_TURNS = 3
# As on a disk that takes 5 ms to write a commit: what a batch holds until its commit, it holds that long.
SLOW_COMMITS = ("commit_delay = 5000", "commit_siblings = 0")


class Feeding:
    """Streams to one rater, and what is sent by them."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self.events = 0

    async def round(self) -> Pair[float]:
        """Sends batches of common customers and of own ones, in turns; gives events in a second of each."""
        seconds = {"shared": 0.0, "own": 0.0}
        order = list(seconds)
        for _ in range(ROUND_TURNS):
            for kind in order:
                seconds[kind] += await self._turn(kind)
            order.reverse()
        events = ROUND_TURNS * TURN_BATCHES * STREAMS * BATCH_EVENTS
        return Pair(events / seconds["shared"], events / seconds["own"])

    async def _turn(self, kind: str) -> float:
        work = [
            (line, line.make(TURN_BATCHES, "auth" if kind == "shared" else f"own-{place}"))
            for place, line in enumerate(self._lines)
        ]
        gc.collect()
        gc.freeze()
        started = time.perf_counter()
        await asyncio.gather(*(line.send(batches) for line, batches in work))
        self.events += TURN_BATCHES * STREAMS * BATCH_EVENTS
        return time.perf_counter() - started


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures events per second."""
    started = datetime.now(UTC)
    async with stage.database() as server:
        url = server.replace("/postgres?", "/common?")
        await _make_database(server)
        await stage.migrate(url)
        address = await stage.start_rater("common-rater", url)
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            producers = [f"01930000-0000-7000-8000-0000000001{number:02}" for number in range(STREAMS)]
            feeding = Feeding([Line(channel, producer, BATCH_EVENTS) for producer in producers])
            # Python specializes code as it runs, and statements are prepared when they are first sent.
            await feeding.round()
            measured = []
            for number in range(rounds):
                stage.say(f"common  round {number + 1} of {rounds}")
                measured.append(await feeding.round())
        await check_stored(Rater(address, started), feeding.events)
        rows, keys = await _sums(url)
    return [result_of(measured, rows / keys)]


def result_of(rates: Sequence[Pair[float]], rows_per_key: float) -> Result:
    """The result of the rounds, in events per second. rows_per_key: of the hourly sums."""
    shared, own = (median(side) for side in zip(*((one.phoebe, one.reference) for one in rates), strict=True))
    batches = ROUND_TURNS * TURN_BATCHES * STREAMS
    note = (
        f"higher is better; {len(rates)} rounds of {batches} batches of {BATCH_EVENTS} events on each side "
        f"over {STREAMS} streams to one rater, {' and '.join(SLOW_COMMITS)}: {shared:,.0f} events/s of "
        f"common customers, {own:,.0f} of own ones; {rows_per_key:.1f} rows of sums a key at the end"
    )
    return Result(NAMES[0], ratio_of(list(rates)), REFERENCE, "events/s", note)


async def _make_database(server: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute("CREATE DATABASE common")
        for setting in SLOW_COMMITS:
            await connection.execute(f"ALTER DATABASE common SET {setting}")
    finally:
        await connection.close()


async def _sums(url: str) -> tuple[int, int]:
    """How many rows of hourly sums there are, and of how many keys."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            "SELECT count(*), count(DISTINCT (window_start, auth_id, resource_id)) FROM hourly_usage"
        )
    finally:
        await connection.close()
    assert row is not None
    return int(row[0]), int(row[1])
