"""Events that the rater stores in a second, from the stream to the COMMIT."""

from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg

from bench.batches import BATCH_EVENTS, COMPLETION_TOKENS
from bench.conservation import Account, unequal
from bench.errors import BenchError
from bench.feeder import ROUND_TURNS, TURN_BATCHES, Fed
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from demo.bill import Rater

NAMES = ("ingest",)
REFERENCE = (
    "asyncpg COPY into a temporary table, INSERT … SELECT … ON CONFLICT DO NOTHING, sums by triggers, COMMIT"
)
COUNTS = "SELECT (SELECT count(*) FROM billing_event), (SELECT count(*) FROM rejected_event)"
DURABLE = ("fsync", "synchronous_commit")


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures events per second."""
    started = datetime.now(UTC)
    async with stage.database() as server:
        databases = Pair(*(server.replace("/postgres?", f"/{name}?") for name in ("fed", "reference")))
        await _execute(server, "CREATE DATABASE reference")
        # There triggers sum what an INSERT brings; the tables and indexes are the same.
        await stage.migrate(databases.reference, phase="expand")
        await _execute(server, "CREATE DATABASE fed TEMPLATE reference")
        await stage.migrate(databases.phoebe)
        address = await stage.start_rater("fed-rater", databases.phoebe)
        stage.say(f"ingest  {rounds} rounds")
        arguments = (f"--rater={address}", f"--reference={databases.reference}", f"--rounds={rounds}")
        fed = await stage.run_feeder(*arguments)
        await _check(Rater(address, started), databases, sum(one.events for one in fed))
    return [result_of(fed[1:])]


def result_of(fed: Sequence[Fed]) -> Result:
    """The result of the rounds."""
    rates = [Pair(one.events / one.phoebe_s, one.events / one.reference_s) for one in fed]
    again = sum(one.duplicate_events for one in fed) / sum(one.duplicates_s for one in fed)
    note = (
        f"higher is better; {len(fed)} rounds of {ROUND_TURNS * TURN_BATCHES} batches of {BATCH_EVENTS} "
        "events on each side, each sent when the one before is committed; same server, table and indexes, "
        "fsync and synchronous_commit on; batches sent again, all of them duplicates: "
        f"{again:,.0f} events/s"
    )
    return Result(NAMES[0], ratio_of(rates), REFERENCE, "events/s", note)


async def _check(rater: Rater, databases: Pair[str], events: int) -> None:
    """Checks that both sides stored every event in earnest, and that Phoebe rates them. BenchError if not."""
    account = Account(rater)
    account.events = events
    account.completion_tokens = events * COMPLETION_TOKENS
    try:
        problems = await account.rate()
    finally:
        await rater.close()
    for name, url in (("Phoebe", databases.phoebe), ("the reference", databases.reference)):
        problems += await _storing_faults(name, url, events)
    if problems:
        raise BenchError("storing was not complete: " + "; ".join(problems))


async def _storing_faults(name: str, url: str, events: int) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        stored, rejected = await connection.fetchrow(COUNTS) or (0, 0)
        durable = [await connection.fetchval(f"SHOW {setting}") for setting in DURABLE]
    finally:
        await connection.close()
    counted = {f"events of {name}": (stored, events), f"rejected events of {name}": (rejected, 0)}
    return unequal(counted) + ([] if durable == ["on"] * len(DURABLE) else [f"{name} is not durable"])


async def _execute(url: str, command: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()
