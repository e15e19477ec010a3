"""How the cost of the rater's work grows with the events that are there: `make bench-growth`.

It compares nothing but the same work on days of more and more events. It tells CPU time, of the rater and of
all of PostgreSQL: other work on the machine changes that less than the time that passes.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self

import asyncpg
import grpc
import psutil
from rich.box import SIMPLE_HEAD
from rich.table import Table

from bench.batches import BATCH_EVENTS, make_batch
from bench.cpu import cpu_time_s, server_cpu_time_s
from bench.errors import BenchError
from bench.feeder import STREAM_EVENTS, are_all
from bench.metered_day import HOURS, ROLLUPS, MeteredDay
from bench.rating import RPC_TIMEOUT_S, Rated, check
from bench.stage import Stage
from demo.report import open_console
from phoebe_proto.v1.metering_pb2 import EVENT_OUTCOME_STORED
from phoebe_proto.v1.rating_pb2 import AuditRequest, ListRatedUsageRequest
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rig.errors import RigError
from rig.programs import PROJECT, environment_of_parts

EVENTS = (12_000, 120_000, 1_200_000)
ROUNDS = 7
# It reads every event there is.
AUDIT_TIMEOUT_S = 3600.0
FED_BATCHES = 20
BYTES = """
SELECT sum(pg_total_relation_size(inhrelid))::bigint
FROM pg_inherits
WHERE inhparent = 'stored_event'::regclass
"""

SPILLED = "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
# An idle session tells what it has done within ten seconds.
STATISTICS_S = 11.0

type Work = Callable[[], Awaitable[object]]
type _Call = grpc.aio.StreamStreamMultiCallable[bytes, bytes]


class Cost(NamedTuple):
    """CPU time, in seconds."""

    rater_s: float
    server_s: float


class Grown:
    """A day of events and the rater on it. event_bytes: what each event takes on disk, indexes included."""

    def __init__(self, rated: Rated, rater_pid: int, server_pid: int, event_bytes: float) -> None:
        self.rated = rated
        self.event_bytes = event_bytes
        self._spilled_before = 0
        self._rater_pid = rater_pid
        self._server_pid = server_pid
        self._stub = RatingServiceStub(rated.channel)
        self._next_seq = 1

    @classmethod
    async def make(cls, stage: Stage, server: str, start: datetime, events: int) -> Self:
        """Stores a day of so many events, rates it and checks the bill."""
        name = f"day_{events}"
        day = MeteredDay(server.replace("/postgres?", f"/{name}?"), start, events // ROLLUPS)
        stage.say(f"growth  storing {day.events:,} events")
        connection = await asyncpg.connect(server)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            server_pid = psutil.Process(backend).ppid()
        finally:
            await connection.close()
        await stage.migrate(day.url)
        await day.load()
        connection = await asyncpg.connect(day.url)
        try:
            event_bytes = await connection.fetchval(BYTES) / day.events
        finally:
            await connection.close()
        rated = Rated(day, await stage.start_rater(f"{name}-rater", day.url))
        await rated.rate()
        await check(rated)
        return cls(rated, stage.pid(f"{name}-rater"), server_pid, event_bytes)

    def works(self) -> Mapping[str, Work]:
        """What is measured, by name."""
        return {
            f"store {FED_BATCHES * BATCH_EVENTS:,} more events": self._feed,
            f"RateWindow over the {HOURS} hours": self.rated.rate,
            f"read their {ROLLUPS:,} rollups": self._list,
            "audit them": self._audit,
        }

    def cpu_s(self) -> Cost:
        """CPU time so far, of the rater and of all processes of the server, ended ones included."""
        return Cost(cpu_time_s(self._rater_pid), server_cpu_time_s(self._server_pid))

    async def note_spilled(self) -> None:
        """Notes what was spilled so far, which the making of the day did."""
        self._spilled_before = await self._read(SPILLED)

    async def spilled_bytes(self) -> int:
        """What statements wrote into temporary files since then, because it did not fit into their memory."""
        return await self._read(SPILLED) - self._spilled_before

    async def _read(self, query: str) -> int:
        connection = await asyncpg.connect(self.rated.day.url)
        try:
            return int(await connection.fetchval(query))
        finally:
            await connection.close()

    async def _feed(self) -> None:
        call: _Call = self.rated.channel.stream_stream(STREAM_EVENTS)
        stream = call()
        for _ in range(FED_BATCHES):
            await stream.write(make_batch(self._next_seq, datetime.now(UTC)).request)
            self._next_seq += BATCH_EVENTS
            answer = await stream.read()
            if not isinstance(answer, bytes) or not are_all(answer, EVENT_OUTCOME_STORED):
                raise BenchError("the rater did not store every event")
        await stream.done_writing()

    async def _list(self) -> None:
        request = ListRatedUsageRequest(page_size=1000)
        request.window_start.FromDatetime(self.rated.day.start)
        request.window_end.FromDatetime(self.rated.day.end)
        rows = 0
        while not rows or request.page_token:
            page = await self._stub.ListRatedUsage(request, timeout=RPC_TIMEOUT_S)
            rows += len(page.rated_usage)
            request.page_token = page.next_page_token
        if rows != ROLLUPS:
            raise BenchError(f"there are {rows} rollups instead of {ROLLUPS}")

    async def _audit(self) -> None:
        request = AuditRequest()
        request.window_start.FromDatetime(self.rated.day.start)
        request.window_end.FromDatetime(self.rated.day.end)
        answer = await self._stub.Audit(request, timeout=AUDIT_TIMEOUT_S)
        if answer.events != self.rated.day.events:
            raise BenchError(f"the audit has seen {answer.events} events instead of {self.rated.day.events}")


async def measure(stage: Stage, sizes: Sequence[int], rounds: int) -> Table:
    """Measures the same work at each size, in turns; gives the medians as a table."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS)
    async with stage.database() as server:
        days = [await Grown.make(stage, server, start, events) for events in sizes]
        try:
            took: dict[str, list[list[Cost]]] = {name: [[] for _ in days] for name in days[0].works()}
            await asyncio.sleep(STATISTICS_S)
            for day in days:
                await day.note_spilled()
            for number in range(rounds + 1):
                stage.say(f"growth  round {number} of {rounds}" if number else "growth  warming up")
                for place, day in enumerate(days):
                    for name, work in day.works().items():
                        before, _, after = day.cpu_s(), await work(), day.cpu_s()
                        if number:
                            took[name][place].append(
                                Cost(after.rater_s - before.rater_s, after.server_s - before.server_s)
                            )
            await asyncio.sleep(STATISTICS_S)
            spilled = [await day.spilled_bytes() for day in days]
        finally:
            for day in days:
                await day.rated.close()
    return _table(days, took, spilled)


def _table(
    days: Sequence[Grown], took: Mapping[str, Sequence[Sequence[Cost]]], spilled: Sequence[int]
) -> Table:
    title = "CPU ms of the rater + of PostgreSQL, medians"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("events")
    for day in days:
        table.add_column(f"{day.rated.day.events:,}", justify="right")
    for name, costs in took.items():
        table.add_row(name, *map(_cell, costs))
    table.add_row("bytes on disk for an event", *(f"{day.event_bytes:,.0f}" for day in days))
    table.add_row("bytes in temporary files, all rounds", *(f"{each:,}" for each in spilled))
    return table


def _cell(costs: Sequence[Cost]) -> str:
    return " + ".join(f"{median(seconds) * 1000:,.0f}" for seconds in zip(*costs, strict=True))


async def _run(folder: Path, sizes: Sequence[int], rounds: int) -> None:
    console = open_console()
    stage = Stage(
        folder, lambda line: console.print(line, markup=False), environment_of_parts(os.environ), None
    )
    try:
        console.print("", await measure(stage, sizes, rounds))
    except (RigError, grpc.aio.AioRpcError):
        stage.show_logs()
        raise
    finally:
        problems = await stage.stop()
        if problems:
            console.print("; ".join(problems), markup=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the measurement."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--events", type=int, nargs="+", default=EVENTS, help=f"of a day; multiples of {ROLLUPS}"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    if any(events < ROLLUPS or events % ROLLUPS for events in given.events) or given.rounds < 1:
        parser.error(f"--events takes multiples of {ROLLUPS}, and --rounds 1 or more")
    parent = PROJECT / ".phoebe"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="growth-", dir=parent) as folder:
        try:
            asyncio.run(_run(Path(folder), given.events, given.rounds))
        except RigError as error:
            sys.exit(f"growth failed: {error}")
        except grpc.aio.AioRpcError as error:
            sys.exit(f"growth failed: {error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
