"""Quotes that the rater gives in a second, with many price books kept."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from bench.asker import CONCURRENCY, RESOLVE_PRICE, ROUND_TURNS, TURN_CALLS, Asked, one_answer
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from rater_service.database.clock import ClockReading
from rater_service.database.database import Connection
from rater_service.prices.load import load_price_file
from rig.programs import PRICES

NAMES = ("resolve_price", "resolve_price_books")
REFERENCE = "grpc.aio service that answers with as many bytes and does nothing"
ONE_BOOK = "a rater with one price book"
BOOKS = 500


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures calls per second."""
    async with stage.database() as server:
        rater = await _start_rater(stage, server, "quotes", BOOKS)
        answer = await one_answer(rater)
        echo = await stage.start_echo(len(answer.SerializeToString()))
        stage.say(f"quotes  {rounds} rounds")
        asked = await stage.run_asker(f"--rater={rater}", f"--reference={echo}", f"--rounds={rounds}")
        few = await _start_rater(stage, server, "few_quotes", 0)
        stage.say(f"quotes  {rounds} rounds against one book")
        beside = await stage.run_asker(
            *(f"--rater={rater}", f"--reference={few}", f"--reference-method={RESOLVE_PRICE}"),
            f"--rounds={rounds}",
        )
    return [result_of(asked[1:]), books_result_of(beside[1:])]


async def _start_rater(stage: Stage, server: str, name: str, books: int) -> str:
    """Starts a rater on a database of this name, with so many books besides its own; gives its address."""
    url = server.replace("/postgres?", f"/{name}?")
    await _execute(server, f"CREATE DATABASE {name}")
    await stage.migrate(url)
    if books:
        stage.say(f"quotes  keeping {books} price books")
        await keep_books(url, datetime.now(UTC))
    return await stage.start_rater(f"{name}-rater", url)


def result_of(asked: Sequence[Asked]) -> Result:
    """The result of the rounds against a service that does nothing."""
    note = (
        f"{_note(len(asked))}; {BOOKS} price books are kept, each of which was in force for an hour; each "
        "quote is of a fine-tune, with its cost, by what was loaded until a tenth of a second before; both "
        "servers have the same options of gRPC"
    )
    return Result(NAMES[0], ratio_of(_rates(asked)), REFERENCE, "calls/s", note)


def books_result_of(asked: Sequence[Asked]) -> Result:
    """The result of the rounds with many books against one."""
    note = f"{_note(len(asked))}; {BOOKS} price books are kept and one"
    return Result(NAMES[1], ratio_of(_rates(asked)), ONE_BOOK, "calls/s", note)


def _note(rounds: int) -> str:
    calls = ROUND_TURNS * TURN_CALLS
    return (
        f"higher is better; {rounds} rounds of {calls} calls to each side, {CONCURRENCY} at once over one "
        "connection"
    )


def _rates(asked: Sequence[Asked]) -> list[Pair[float]]:
    return [Pair(one.calls / one.phoebe_s, one.calls / one.reference_s) for one in asked]


async def keep_books(url: str, now: datetime) -> None:
    """Loads BOOKS price files, one in each of the hours before, and the rater's own at last.

    That one is in force by now and stays so: at a full hour the answers must not change.
    """
    own = PRICES.read_bytes()
    contents = [*(own + f"# book {number}\n".encode() for number in range(BOOKS)), own]
    connection = await asyncpg.connect(url)
    try:
        for number, content in enumerate(contents):
            loaded_at = now - timedelta(hours=len(contents) - number + 1)

            async def clock(_connection: Connection, loaded_at: datetime = loaded_at) -> ClockReading:
                return ClockReading(loaded_at, timedelta(0))

            await load_price_file(connection, content, f"book-{number}.yaml", "bench", clock=clock)
    finally:
        await connection.close()


async def _execute(url: str, command: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()
