"""Quotes that the rater gives in a second, with many price books kept."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from bench.asker import CONCURRENCY, ROUND_TURNS, TURN_CALLS, Asked, one_answer
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from rater_service.database.clock import ClockReading
from rater_service.database.database import Connection
from rater_service.prices.load import load_price_file
from rig.programs import PRICES

NAMES = ("resolve_price",)
REFERENCE = "grpc.aio service that answers with as many bytes and does nothing"
BOOKS = 500


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures calls per second."""
    async with stage.database() as server:
        url = server.replace("/postgres?", "/quotes?")
        await _execute(server, "CREATE DATABASE quotes")
        await stage.migrate(url)
        stage.say(f"quotes  keeping {BOOKS} price books")
        await keep_books(url, datetime.now(UTC))
        rater = await stage.start_rater("quotes-rater", url)
        answer = await one_answer(rater)
        echo = await stage.start_echo(len(answer.SerializeToString()))
        stage.say(f"quotes  {rounds} rounds")
        asked = await stage.run_asker(f"--rater={rater}", f"--reference={echo}", f"--rounds={rounds}")
    return [result_of(asked[1:])]


def result_of(asked: Sequence[Asked]) -> Result:
    """The result of the rounds."""
    rates = [Pair(one.calls / one.phoebe_s, one.calls / one.reference_s) for one in asked]
    note = (
        f"higher is better; {len(asked)} rounds of {ROUND_TURNS * TURN_CALLS} calls to each side, "
        f"{CONCURRENCY} at once over one connection; {BOOKS} price books are kept, each of which was in "
        "force for an hour; each quote is of a fine-tune, with its cost, by what was loaded until a tenth of "
        "a second before"
    )
    return Result(NAMES[0], ratio_of(rates), REFERENCE, "calls/s", note)


async def keep_books(url: str, now: datetime) -> None:
    """Loads BOOKS price files, one in each of the hours before."""
    content = PRICES.read_bytes()
    connection = await asyncpg.connect(url)
    try:
        for number in range(BOOKS):
            loaded_at = now - timedelta(hours=BOOKS - number + 1)

            async def clock(_connection: Connection, loaded_at: datetime = loaded_at) -> ClockReading:
                return ClockReading(loaded_at, timedelta(0))

            book = content + f"# book {number}\n".encode()
            await load_price_file(connection, book, f"book-{number}.yaml", "bench", clock=clock)
    finally:
        await connection.close()


async def _execute(url: str, command: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()
