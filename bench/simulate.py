"""A day at any rate, and what it takes: `make simulate`, by what `--measure` has measured.

`--check N` stores N events really, and compares.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import grpc
import psutil

from bench import plain
from bench.batches import BATCH_EVENTS, Batch, make_batch
from bench.cpu import cpu_time_s, server_cpu_time_s
from bench.errors import BenchError
from bench.simulation import Costs, Day, read_costs, simulate, table, text, write_costs
from bench.stage import Stage
from bench.stored_bytes import (
    BILLS,
    HOUR,
    HOUR_BATCHES,
    HOURS,
    KEY_HOURS,
    LEDGER,
    SUMS,
    TIMEOUT_S,
    ByRater,
    rate_all,
    read_log,
    read_stored,
)
from demo.report import open_console
from rater_service.database.database import open_pool
from rater_service.events.slots import cool_hours
from rig.errors import RigError
from rig.programs import PROJECT, environment_of_parts

TOLD_EVERY_BATCHES = 100
ROUND_EVENTS = HOURS * HOUR_BATCHES * BATCH_EVENTS
MEASURED_ROUNDS = 4
PROXY_ROUNDS = 5
DAY = Day(events_per_s=10, peak=3, keys=2_000, days_kept=35)
"""A day to begin with: 864,000 requests, of which there are three times as many in the busiest second."""
PAGE = PROJECT / "docs" / "scaling.md"
BYTES_OFF_MAX = 0.15
"""Pages that are not full are no more than this."""
LOG_OFF_MAX = 0.3
"""How many pages are logged whole depends on how many checkpoints there were."""
CPU_OFF_MAX = 0.5
"""On a machine that does other things the same work takes this much more CPU, or less."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What storing events, and rating them, has really taken. Seconds are of CPU."""

    events: int
    key_hours: int
    event_bytes: int
    wal_bytes: int
    key_hour_bytes: int
    rater_s: float
    server_s: float


async def store(stage: Stage, name: str, rounds: int) -> Stored:
    """Store so many rounds of events through a rater, and rate their hours."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = end - HOURS * HOUR
    async with stage.database() as server:
        url = server.replace("/postgres?", f"/{name}?")
        maker = await asyncpg.connect(server)
        try:
            await maker.execute(f"CREATE DATABASE {name}")
            server_pid = psutil.Process(await maker.fetchval("SELECT pg_backend_pid()")).ppid()
        finally:
            await maker.close()
        await stage.migrate(url)
        address = await stage.start_rater(f"{name}-rater", url)
        channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        connection = await asyncpg.connect(url)
        try:
            rater = ByRater(channel)
            rater_pid = stage.pid(f"{name}-rater")
            log = (await read_log(connection)).wal_bytes
            before = cpu_time_s(rater_pid), server_cpu_time_s(server_pid)
            for stored, batch in enumerate(batches_in_order(start, rounds)):
                if stored % TOLD_EVERY_BATCHES == 0:
                    stage.say(f"{name}  {stored * BATCH_EVENTS:,} of {rounds * ROUND_EVENTS:,} events")
                await rater.store(batch)
            # As autovacuum does in the course of a day: it changes each page of events once.
            await connection.execute("CHECKPOINT")
            await connection.execute("VACUUM stored_event", timeout=TIMEOUT_S)
            after = cpu_time_s(rater_pid), server_cpu_time_s(server_pid)
            log = (await read_log(connection)).wal_bytes - log
            await rate_all(channel, start, end, rounds * ROUND_EVENTS)
            async with open_pool(url) as pool:
                await cool_hours(pool, end)
            # Rows that were changed leave free room, which those of later hours take.
            for name_of_table in (*SUMS, *BILLS, *LEDGER):
                await connection.execute(f"VACUUM FULL {name_of_table}", timeout=TIMEOUT_S)
            taken = await read_stored(connection)
            key_hours = await connection.fetchval(KEY_HOURS)
        finally:
            await channel.close()
            await connection.close()
    return Stored(
        events=rounds * ROUND_EVENTS,
        key_hours=key_hours,
        event_bytes=taken.events,
        wal_bytes=log,
        key_hour_bytes=taken.sums + taken.bills + taken.ledger,
        rater_s=after[0] - before[0],
        server_s=after[1] - before[1],
    )


def batches_in_order(start: datetime, rounds: int) -> Iterator[Batch]:
    """The events of so many rounds, in the order in which they end, as a proxy sends them."""
    spread = HOUR / HOUR_BATCHES / rounds
    for number in range(rounds * HOURS * HOUR_BATCHES):
        yield make_batch(number * BATCH_EVENTS + 1, start + (number + 1) * spread, spread=spread)


async def measure(stage: Stage) -> Costs:
    """Measure all that the arithmetic is made with."""
    stored = await store(stage, "measured", MEASURED_ROUNDS)
    cpu, _ = await plain.run(stage, PROXY_ROUNDS)
    return costs_of(stored, cpu.ratio.phoebe)


def costs_of(stored: Stored, proxy_us: float) -> Costs:
    """Say what each event, and each key and hour, has taken."""
    return Costs(
        events=stored.events,
        event_bytes=stored.event_bytes / stored.events,
        wal_bytes=stored.wal_bytes / stored.events,
        key_hour_bytes=stored.key_hour_bytes / stored.key_hours,
        proxy_us=proxy_us,
        rater_us=stored.rater_s / stored.events * 1e6,
        server_us=stored.server_s / stored.events * 1e6,
    )


def compare(costs: Costs, stored: Stored) -> tuple[list[str], list[str]]:
    """Compare what the arithmetic says with what was really taken: lines to show, and what is too far off."""
    found = costs_of(stored, costs.proxy_us)
    lines, faults = [], []
    for name, most in (
        ("event_bytes", BYTES_OFF_MAX),
        ("wal_bytes", LOG_OFF_MAX),
        ("key_hour_bytes", BYTES_OFF_MAX),
        ("rater_us", CPU_OFF_MAX),
        ("server_us", CPU_OFF_MAX),
    ):
        said, really = getattr(costs, name), getattr(found, name)
        lines.append(f"{name:<16} said {said:10,.1f}   really {really:10,.1f}   {really / said - 1:+.0%}")
        if abs(really / said - 1) > most:
            faults.append(f"{name} is off by {really / said - 1:+.0%}, and may be by {most:.0%}")
    return lines, faults


def renew_page(costs: Costs) -> None:
    """Put the table of the day to begin with into the page, in place of the one that is there."""
    before, _, rest = PAGE.read_text("utf-8").partition(next(table(costs, DAY)))
    _, _, behind = rest.partition("\n\n")
    PAGE.write_text(before + "\n".join(table(costs, DAY)) + "\n\n" + behind, "utf-8")


async def _really(folder: Path, given: argparse.Namespace, say: Callable[[str], None]) -> None:
    stage = Stage(folder, say, environment_of_parts(os.environ), None)
    try:
        if given.measure:
            write_costs(await measure(stage))
            renew_page(read_costs())
        if given.check:
            lines, faults = compare(read_costs(), await store(stage, "checked", given.check // ROUND_EVENTS))
            for line in lines:
                say(line)
            if faults:
                raise BenchError("; ".join(faults))
    except (RigError, grpc.aio.AioRpcError):
        stage.show_logs()
        raise
    finally:
        for problem in await stage.stop():
            say(problem)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the simulation."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.simulate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--events-per-s", type=float, default=DAY.events_per_s, help="on average over the day"
    )
    parser.add_argument(
        "--peak", type=float, default=DAY.peak, help="times the average, in the busiest second"
    )
    parser.add_argument(
        "--keys", type=int, default=DAY.keys, help="customers with resources and models used in an hour"
    )
    parser.add_argument("--days-kept", type=int, default=DAY.days_kept, help="how long events are kept")
    parser.add_argument("--json", action="store_true", help="write one day as JSON, in units and bytes")
    parser.add_argument("--measure", action="store_true", help="measure bytes and microseconds anew first")
    parser.add_argument("--check", type=int, metavar="N", help="store N events really, and compare")
    given = parser.parse_args(arguments)
    if given.check is not None and (given.check < ROUND_EVENTS or given.check % ROUND_EVENTS):
        parser.error(f"--check takes multiples of {ROUND_EVENTS}")
    if min(given.events_per_s, given.peak, given.keys, given.days_kept) <= 0:
        parser.error("--events-per-s, --peak, --keys and --days-kept are more than 0")
    if given.measure or given.check:
        console = open_console()
        parent = PROJECT / ".phoebe"
        parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="simulate-", dir=parent) as folder:
            try:
                asyncio.run(_really(Path(folder), given, lambda line: console.print(line, markup=False)))
            except RigError as error:
                sys.exit(f"simulate failed: {error}")
            except grpc.aio.AioRpcError as error:
                sys.exit(f"simulate failed: {error.code().name}: {error.details()}")
    costs = read_costs()
    day = Day(given.events_per_s, given.peak, given.keys, given.days_kept)
    if given.json:
        figures = [figure._asdict() | {"text": text(figure)} for figure in simulate(costs, day)]
        print(json.dumps(figures, indent=2))
    else:
        print("\n".join(table(costs, day)))


if __name__ == "__main__":
    main()
