"""RateWindow over a day of events: against SQL that adds them up, and against itself with fewer events."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median

import asyncpg
import grpc

from bench.conservation import unequal
from bench.errors import BenchError
from bench.metered_day import HOURS, ROLLUPS, MeteredDay
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from phoebe_proto.v1.rating_pb2 import RATE_MODE_BACKFILL, RateWindowRequest, RateWindowResponse
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub

NAMES = ("rate_window", "rate_growth")
# 5 million and half a million events, under the same names.
EVENTS_PER_ROLLUP = Pair(4170, 417)
# One run takes milliseconds.
RUNS_OF_A_ROUND = 5
RPC_TIMEOUT_S = 300.0


class Rated:
    """A day and the rater that rates it."""

    def __init__(self, day: MeteredDay, address: str) -> None:
        self.day = day
        self.channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._stub = RatingServiceStub(self.channel)
        self._request = RateWindowRequest(mode=RATE_MODE_BACKFILL)
        self._request.window_start.FromDatetime(day.start)
        self._request.window_end.FromDatetime(day.end)

    async def rate(self) -> RateWindowResponse:
        """Rates the whole day."""
        response: RateWindowResponse = await self._stub.RateWindow(self._request, timeout=RPC_TIMEOUT_S)
        return response

    async def close(self) -> None:
        """Ends the connection."""
        await self.channel.close()


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures both from the same rounds."""
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = this_hour - timedelta(hours=HOURS)
    async with stage.database() as server:
        full, tenth = [
            await _rated(stage, server, name, start, per_rollup)
            for name, per_rollup in (
                ("day", EVENTS_PER_ROLLUP.phoebe),
                ("tenth_of_a_day", EVENTS_PER_ROLLUP.reference),
            )
        ]
        try:
            first_s = await _seconds(full.rate)
            await tenth.rate()
            windows, growth = [], []
            for number in range(rounds):
                stage.say(f"rating  round {number + 1} of {rounds}")
                runs = [
                    (await _seconds(full.rate), await _seconds(tenth.rate)) for _ in range(RUNS_OF_A_ROUND)
                ]
                full_s, tenth_s = (median(times) for times in zip(*runs, strict=True))
                growth.append(Pair(full_s, tenth_s))
                windows.append(Pair(await _seconds(full.day.bill), full_s))
            for rated in (full, tenth):
                await check(rated)
        finally:
            await full.close()
            await tenth.close()
    return results_of(windows, growth, first_s)


def results_of(windows: Sequence[Pair[float]], growth: Sequence[Pair[float]], first_s: float) -> list[Result]:
    """The two results of the rounds; all in seconds. first_s: of the run that wrote all rollups."""
    events = ROLLUPS * EVENTS_PER_ROLLUP.phoebe
    conditions = (
        f"{len(windows)} rounds; {HOURS} hours with {ROLLUPS:,} rollups; RateWindow over gRPC, the median "
        f"of {RUNS_OF_A_ROUND} runs in each round, which compute every rollup and find it as it is"
    )
    return [
        Result(
            NAMES[0],
            ratio_of([Pair(pair.phoebe * 1000, pair.reference * 1000) for pair in windows]),
            "RateWindow (the other side is SQL that joins every event with its rate and sums)",
            "ms",
            f"higher is better: SQL over {events:,} events / RateWindow; {conditions}; the first run, which "
            f"wrote all rollups, took {first_s * 1000:.0f} ms",
        ),
        Result(
            NAMES[1],
            ratio_of([Pair(pair.phoebe * 1000, pair.reference * 1000) for pair in growth]),
            "RateWindow with a tenth of the events, the same rollups",
            "ms",
            f"lower is better; {conditions}; {events:,} and {ROLLUPS * EVENTS_PER_ROLLUP.reference:,} events",
        ),
    ]


async def _rated(stage: Stage, server: str, name: str, start: datetime, events_per_rollup: int) -> Rated:
    day = MeteredDay(server.replace("/postgres?", f"/{name}?"), start, events_per_rollup)
    stage.say(f"rating  storing {day.events:,} events")
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    await stage.migrate(day.url)
    await day.load()
    return Rated(day, await stage.start_rater(f"{name}-rater", day.url))


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def check(rated: Rated) -> None:
    """Checks that every event is on the bill, and the bill is what the events make. BenchError if not."""
    run = await rated.rate()
    counts = {
        "events in the window": (run.events_in_window, rated.day.events),
        "rated events": (run.events_rated, rated.day.events),
        "rollups": (run.rollups_unchanged, ROLLUPS),
    }
    problems = unequal(counts)
    billed, bill = await rated.day.billed(), await rated.day.bill()
    if [tuple(row) for row in billed] != [tuple(row) for row in bill]:
        problems.append("the bill is not what the events make")
    if problems:
        raise BenchError("the rating was not complete: " + "; ".join(problems))
