"""The feeder: a process that has batches of events stored by a rater, and by plain SQL for comparison.

The sides take turns of some batches each, so that what slows the machine for a while slows both. Making the
batches is not measured. What each side took goes to standard output as JSON, a line for each round.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import asyncpg
import grpc

from bench.batches import BATCH_EVENTS, COLUMNS, Batch, make_batch
from bench.errors import BenchError
from phoebe_proto.v1.metering_pb2 import (
    EVENT_OUTCOME_DUPLICATE,
    EVENT_OUTCOME_STORED,
    StreamEventsResponse,
)

TURN_BATCHES = 5
ROUND_TURNS = 6
# Python specializes code as it runs, and statements are prepared when they are first sent.
WARM_UP_TURNS = 2
BATCH_TIMEOUT_S = 30.0

STREAM_EVENTS = "/phoebe.v1.MeteringService/StreamEvents"
STAGING = "CREATE TEMP TABLE staging (LIKE stored_event INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
INSERT = "INSERT INTO stored_event SELECT * FROM staging ON CONFLICT (request_id) DO NOTHING"

type Stream = grpc.aio.StreamStreamCall[bytes, bytes]
type Store = Callable[[Batch], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fed:
    """What came of a round: how long each side took for its events, and Phoebe to be sent some again."""

    events: int
    phoebe_s: float
    reference_s: float
    duplicate_events: int
    duplicates_s: float


class Feeder:
    """Sends batches to both sides, one after the other, each when the one before is committed."""

    def __init__(self, stream: Stream, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._stream = stream
        self._connection = connection
        self._next_seq = 1
        self._answers: list[bytes] = []

    async def feed(self, turns: int) -> Fed:
        """Has both sides store the same events. BenchError if the rater does not store one."""
        sides: list[Store] = [self._store, self._store_plainly]
        seconds = dict.fromkeys(sides, 0.0)
        batches: list[Batch] = []
        for _ in range(turns):
            batches = self._make()
            for store in sides:
                seconds[store] += await _timed(store, batches)
            sides.reverse()
            self._check(EVENT_OUTCOME_STORED)
        duplicates_s = await _timed(self._store, batches)
        self._check(EVENT_OUTCOME_DUPLICATE)
        turn_events = TURN_BATCHES * BATCH_EVENTS
        return Fed(
            turns * turn_events, seconds[self._store], seconds[self._store_plainly], turn_events, duplicates_s
        )

    def _make(self) -> list[Batch]:
        now = datetime.now(UTC)
        batches = [make_batch(self._next_seq + n * BATCH_EVENTS, now) for n in range(TURN_BATCHES)]
        self._next_seq += TURN_BATCHES * BATCH_EVENTS
        # Collecting garbage must not go through what was only just made.
        gc.collect()
        gc.freeze()
        return batches

    async def _store(self, batch: Batch) -> None:
        async with asyncio.timeout(BATCH_TIMEOUT_S):
            await self._stream.write(batch.request)
            answer = await self._stream.read()
        if not isinstance(answer, bytes):
            raise BenchError("the rater ended the stream")
        self._answers.append(answer)

    async def _store_plainly(self, batch: Batch) -> None:
        async with self._connection.transaction():
            await self._connection.copy_records_to_table("staging", columns=COLUMNS, records=batch.rows)
            await self._connection.execute(INSERT)

    def _check(self, outcome: int) -> None:
        """Looks at the answers only now, when no time is taken."""
        for answer in self._answers:
            if not are_all(answer, outcome):
                raise BenchError("the rater did not answer every event as it should")
        self._answers.clear()


def are_all(answer: bytes, outcome: int, count: int = BATCH_EVENTS) -> bool:
    """Tell whether the answer to a batch of so many events gives all of them this outcome."""
    results = StreamEventsResponse.FromString(answer).results
    return [result.outcome for result in results] == [outcome] * count


async def _timed(store: Store, batches: Sequence[Batch]) -> float:
    started = time.perf_counter()
    for batch in batches:
        await store(batch)
    return time.perf_counter() - started


async def feed(rater: str, reference_url: str, rounds: int) -> list[Fed]:
    """Feeds both sides: a warm-up first, then so many rounds.

    BenchError, grpc.aio.AioRpcError, asyncpg's errors or TimeoutError if it can't be done.
    """
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(reference_url, server_settings={"jit": "off"})
        stack.push_async_callback(connection.close)
        await connection.execute(STAGING)
        options = [("grpc.enable_http_proxy", 0)]
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(rater, options=options))
        feeder = Feeder(channel.stream_stream(STREAM_EVENTS)(), connection)
        return [await feeder.feed(turns) for turns in (WARM_UP_TURNS, *[ROUND_TURNS] * rounds)]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the feeder."""
    parser = argparse.ArgumentParser(prog="python -m bench.feeder", description="Feeds events to both sides.")
    parser.add_argument("--rater", required=True, metavar="HOST:PORT")
    parser.add_argument("--reference", required=True, metavar="URL", help="of the reference's database")
    parser.add_argument("--rounds", type=int, required=True)
    given = parser.parse_args(arguments)
    try:
        rounds = asyncio.run(feed(given.rater, given.reference, given.rounds))
    except grpc.aio.AioRpcError as error:
        sys.exit(f"feeder failed: {error.code().name}: {error.details()}")
    except (BenchError, OSError, TimeoutError, asyncpg.PostgresError) as error:
        sys.exit(f"feeder failed: {str(error) or 'it took too long'}")
    for fed in rounds:
        print(json.dumps(asdict(fed)))


if __name__ == "__main__":
    main()
