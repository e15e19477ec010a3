"""Events that two raters on one database store in a second, against one of them alone.

Each rater is sent one batch after the other over one stream, as an addon does it. Raters, PostgreSQL and
whoever sends share the CPUs, so the ratio says how far those reach; what an event costs, and how many cores'
worth of CPU there were, is in the note. In one result the batches of both raters are of the same customers,
whose sums they share; in another each rater has customers of its own. In the third they are of the same
customers and each commit waits, as for a slow disk: then no core is full, whatever the machine, and what the
raters wait for is each other.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Self

import asyncpg
import grpc
import psutil

from bench.batches import BATCH_EVENTS, COMPLETION_TOKENS, Batch, make_batch
from bench.conservation import Account
from bench.cpu import cpu_time_s, server_cpu_time_s
from bench.errors import BenchError
from bench.feeder import BATCH_TIMEOUT_S, STREAM_EVENTS, Stream, are_all
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from demo.bill import Rater
from phoebe_proto.v1.metering_pb2 import EVENT_OUTCOME_STORED

NAMES = ("two_raters", "two_raters_own_customers", "two_raters_slow_disk")
REFERENCE = "one rater on the same database, the same batches over one stream"
# Those of a turn go to one rater, or half of them to each of two.
TURN_BATCHES = 20
ROUND_TURNS = 2
SLOW_COMMIT_MS = 30
PRODUCERS = ("01930000-0000-7000-8000-000000000001", "01930000-0000-7000-8000-000000000002")


@dataclass(frozen=True, slots=True)
class Fed:
    """What a side took for its events, in seconds: of the clock, and of CPU for raters and for PostgreSQL."""

    events: int
    elapsed_s: float
    rater_cpu_s: float
    server_cpu_s: float

    @property
    def rate(self) -> float:
        """Events in a second."""
        return self.events / self.elapsed_s

    @property
    def cores(self) -> float:
        """How many cores' worth of CPU raters and PostgreSQL had."""
        return (self.rater_cpu_s + self.server_cpu_s) / self.elapsed_s

    def plus(self, other: Self) -> "Fed":
        """Both together."""
        return Fed(
            self.events + other.events,
            self.elapsed_s + other.elapsed_s,
            self.rater_cpu_s + other.rater_cpu_s,
            self.server_cpu_s + other.server_cpu_s,
        )


class Line:
    """A stream to a rater, by a producer of its own, of batches of so many events."""

    def __init__(self, channel: grpc.aio.Channel, producer_id: str, batch_events: int = BATCH_EVENTS) -> None:
        self._stream: Stream = channel.stream_stream(STREAM_EVENTS)()
        self._producer_id = producer_id
        self._batch_events = batch_events
        self._next_seq = 1

    def make(self, count: int, customers: str) -> list[Batch]:
        """Makes the next batches. customers: what their names begin with."""
        now = datetime.now(UTC)
        first = self._next_seq
        size = self._batch_events
        self._next_seq += count * size
        return [
            make_batch(first + place * size, now, self._producer_id, customers, size)
            for place in range(count)
        ]

    async def send(self, batches: Sequence[Batch]) -> None:
        """Sends each when the one before is committed. BenchError if an event is not stored."""
        for batch in batches:
            async with asyncio.timeout(BATCH_TIMEOUT_S):
                await self._stream.write(batch.request)
                answer = await self._stream.read()
            if not isinstance(answer, bytes) or not are_all(answer, EVENT_OUTCOME_STORED, self._batch_events):
                raise BenchError("a rater did not store every event")


class Feeding:
    """Two raters, and what is sent to them. server: PostgreSQL's URL. pids: of the raters and of that."""

    def __init__(self, server: str, lines: Sequence[Line], pids: Sequence[int], server_pid: int) -> None:
        self._server = server
        self._lines = lines
        self._pids = pids
        self._server_pid = server_pid
        self.events = 0

    async def slow_round(self) -> Pair[Fed]:
        """Feeds two raters and one, in turns, while commits are slow."""
        await _set_commit_delay(self._server, SLOW_COMMIT_MS)
        try:
            return await self.round(own_customers=False)
        finally:
            await _set_commit_delay(self._server, 0)

    async def round(self, *, own_customers: bool) -> Pair[Fed]:
        """Feeds two raters and one, in turns."""
        fed = {2: Fed(0, 0, 0, 0), 1: Fed(0, 0, 0, 0)}
        order = [2, 1]
        for _ in range(ROUND_TURNS):
            for raters in order:
                fed[raters] = fed[raters].plus(await self._turn(raters, own_customers=own_customers))
            order.reverse()
        return Pair(fed[2], fed[1])

    async def _turn(self, raters: int, *, own_customers: bool) -> Fed:
        work = [
            (line, line.make(TURN_BATCHES // raters, f"own-{place}" if own_customers else "auth"))
            for place, line in enumerate(self._lines[:raters])
        ]
        gc.collect()
        gc.freeze()
        before, started = self._cpu_s(), time.perf_counter()
        await asyncio.gather(*(line.send(batches) for line, batches in work))
        elapsed_s, after = time.perf_counter() - started, self._cpu_s()
        events = TURN_BATCHES * BATCH_EVENTS
        self.events += events
        return Fed(events, elapsed_s, after[0] - before[0], after[1] - before[1])

    def _cpu_s(self) -> tuple[float, float]:
        return sum(map(cpu_time_s, self._pids)), server_cpu_time_s(self._server_pid)


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures both, with the same two raters."""
    started = datetime.now(UTC)
    async with stage.database() as server:
        url = server.replace("/postgres?", "/shared?")
        server_pid = await _make_database(server)
        await stage.migrate(url)
        names = [f"shared-rater-{number}" for number in (1, 2)]
        addresses = [await stage.start_rater(name, url) for name in names]
        channels = [
            grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
            for address in addresses
        ]
        try:
            lines = [Line(*each) for each in zip(channels, PRODUCERS, strict=True)]
            feeding = Feeding(server, lines, [stage.pid(name) for name in names], server_pid)
            # Python specializes code as it runs, and statements are prepared when they are first sent.
            await feeding.round(own_customers=False)
            measured: dict[str, list[Pair[Fed]]] = {name: [] for name in NAMES}
            for number in range(rounds):
                stage.say(f"raters  round {number + 1} of {rounds}")
                measured[NAMES[0]].append(await feeding.round(own_customers=False))
                measured[NAMES[1]].append(await feeding.round(own_customers=True))
                measured[NAMES[2]].append(await feeding.slow_round())
        finally:
            for channel in channels:
                await channel.close()
        await check_stored(Rater(addresses[0], started), feeding.events)
    return [result_of(name, fed, stage.cpu_count) for name, fed in measured.items()]


def result_of(name: str, fed: Sequence[Pair[Fed]], cpus: int) -> Result:
    """The result of the rounds. cpus: on which everything ran."""
    rates = [Pair(pair.phoebe.rate, pair.reference.rate) for pair in fed]
    cores = [median(side) for side in zip(*((p.phoebe.cores, p.reference.cores) for p in fed), strict=True)]
    rater, server = (
        [median(side) for side in zip(*((_us(p.phoebe, of), _us(p.reference, of)) for p in fed), strict=True)]
        for of in ("rater_cpu_s", "server_cpu_s")
    )
    slow = f"each commit waits {SLOW_COMMIT_MS} ms; " if name == NAMES[2] else ""
    note = (
        f"higher is better; {slow}{len(fed)} rounds of {ROUND_TURNS * TURN_BATCHES} batches of "
        f"{BATCH_EVENTS} events on each side; both raters, PostgreSQL and the sender share {cpus} CPUs: "
        f"of them two raters and PostgreSQL had {cores[0]:.2f}, one rater and PostgreSQL {cores[1]:.2f}; "
        f"CPU for an event, two against one: {rater[0]:.1f} and {rater[1]:.1f} us in the rater, "
        f"{server[0]:.1f} and {server[1]:.1f} us in PostgreSQL"
    )
    return Result(name, ratio_of(rates), REFERENCE, "events/s", note)


def _us(fed: Fed, of: str) -> float:
    seconds: float = getattr(fed, of)
    return seconds / fed.events * 1e6


async def _make_database(server: str) -> int:
    """Makes the database; gives the process of the server."""
    connection = await asyncpg.connect(server)
    try:
        await connection.execute("CREATE DATABASE shared")
        backend: int = await connection.fetchval("SELECT pg_backend_pid()")
        return int(psutil.Process(backend).ppid())
    finally:
        await connection.close()


async def _set_commit_delay(server: str, delay_ms: int) -> None:
    """Has each commit wait, from now on, in every session."""
    connection = await asyncpg.connect(server)
    try:
        # However few sessions there are: else a commit waits only while others write.
        await connection.execute("ALTER SYSTEM SET commit_siblings = 0")
        await connection.execute(f"ALTER SYSTEM SET commit_delay = {delay_ms * 1000}")
        await connection.execute("SELECT pg_reload_conf()")
        wanted = str(delay_ms * 1000)
        while await connection.fetchval("SHOW commit_delay") != wanted:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def check_stored(rater: Rater, events: int) -> None:
    """Checks that every event is stored and on a bill. BenchError if not."""
    account = Account(rater)
    account.events = events
    account.completion_tokens = events * COMPLETION_TOKENS
    try:
        problems = await account.rate()
    finally:
        await rater.close()
    if problems:
        raise BenchError("storing was not complete: " + "; ".join(problems))
