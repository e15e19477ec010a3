"""Events that a rater stores in a second on a Citus cluster, against plain PostgreSQL: `make bench-citus`.

Both are servers that you run, of one version. Each gets a database and a rater of its own for the time of the
measurement. The raters are sent the same batches over one stream or several, in turns, as addons do it. At
the end every event must be stored, summed and on a bill on both sides.
"""

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import grpc

from bench.batches import BATCH_EVENTS
from bench.conservation import unequal
from bench.errors import BenchError
from bench.ratio import Pair, ratio_of
from bench.result import Result, results_table
from bench.stage import Stage
from bench.two_raters import Line, check_stored
from demo.bill import Rater
from demo.report import open_console
from rig.errors import RigError
from rig.postgres import execute
from rig.programs import PROJECT, environment_of_parts

REFERENCE = "a rater on plain PostgreSQL of the same version, the same batches"
WRITERS = (1, 4, 8)
ROUNDS = 7
# Of all writers together.
TURN_BATCHES = 16
ROUND_TURNS = 2
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
WORKERS = "SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards AND isactive AND groupid > 0"
STORED = "SELECT count(*) FROM stored_event"
SUMMED = "SELECT coalesce(sum(event_count), 0) FROM hourly_usage"
DROP_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Servers:
    """The server that raters are told of, and the workers behind it, if any; URLs of a database on each."""

    url: str
    workers: Sequence[str] = ()

    def urls(self, database: str) -> Sequence[str]:
        """The URLs of a database on each of them."""
        return [with_database(url, database) for url in (self.url, *self.workers)]


def with_database(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def with_host(url: str, host: str, port: int) -> str:
    """The URL of the same database on another server, for the same user."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{port}"))


class Side:
    """A rater on a database, and the streams to it."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self.events = 0

    async def turn(self, writers: int) -> float:
        """Sends the batches of a turn by so many writers at once; gives how long it took, in seconds."""
        work = [(line, line.make(TURN_BATCHES // writers, "auth")) for line in self._lines[:writers]]
        gc.collect()
        gc.freeze()
        started = time.perf_counter()
        await asyncio.gather(*(line.send(batches) for line, batches in work))
        elapsed_s = time.perf_counter() - started
        self.events += TURN_BATCHES * BATCH_EVENTS
        return elapsed_s


async def measure_round(sides: Pair[Side], writers: int) -> Pair[float]:
    """Has both sides store the same, in turns; gives events in a second of each."""
    order = [sides.phoebe, sides.reference]
    seconds = dict.fromkeys(order, 0.0)
    for _ in range(ROUND_TURNS):
        for side in order:
            seconds[side] += await side.turn(writers)
        order.reverse()
    events = ROUND_TURNS * TURN_BATCHES * BATCH_EVENTS
    return Pair(events / seconds[sides.phoebe], events / seconds[sides.reference])


async def find_servers(cluster: str, plain: str) -> Pair[Servers]:
    """Finds the workers. BenchError unless one is a cluster and both can be compared."""
    known = await _fetch(cluster, "SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL")
    nodes = await _fetch(cluster, WORKERS) if known[0][0] else []
    if not nodes:
        raise BenchError("--cluster must name the database of a coordinator that knows of workers")
    servers = Pair(
        Servers(cluster, [with_host(cluster, node["nodename"], node["nodeport"]) for node in nodes]),
        Servers(plain),
    )
    versions = [(await _fetch(url, "SHOW server_version"))[0][0] for url in (cluster, plain)]
    if versions[0] != versions[1]:
        raise BenchError(f"the cluster is PostgreSQL {versions[0]}, and the other server {versions[1]}")
    for url in (cluster, *servers.phoebe.workers, plain):
        for setting in DURABLE:
            if (await _fetch(url, f"SHOW {setting}"))[0][0] != "on":
                raise BenchError(f"{urlsplit(url).netloc.rpartition('@')[2]} does not have {setting} on")
    return servers


@asynccontextmanager
async def databases(stage: Stage, servers: Pair[Servers], shards: int | None) -> AsyncIterator[Pair[str]]:
    """A migrated database on each side, as long as the context lasts; gives their URLs."""
    name = f"phoebe_bench_{uuid4().hex[:12]}"
    both = (servers.phoebe, servers.reference)
    try:
        for each in both:
            for url in (each.url, *each.workers):
                await execute(url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        await _make_cluster(servers.phoebe, name, shards)
        urls = Pair(*(with_database(each.url, name) for each in both))
        await stage.migrate(urls.phoebe, distributed=True)
        await stage.migrate(urls.reference)
        yield urls
    finally:
        for each in both:
            for url in (each.url, *each.workers):
                await _drop(url, name)


async def _make_cluster(servers: Servers, name: str, shards: int | None) -> None:
    for url in servers.urls(name):
        await execute(url, "CREATE EXTENSION citus")
    if shards is not None:
        await execute(servers.url, f"ALTER DATABASE {name} SET citus.shard_count = {shards}")
    coordinator = urlsplit(servers.url)
    nodes = [urlsplit(url) for url in servers.workers]
    await execute(
        with_database(servers.url, name),
        f"SELECT citus_set_coordinator_host('{coordinator.hostname}', {coordinator.port or 5432})",
        *(f"SELECT citus_add_node('{node.hostname}', {node.port})" for node in nodes),
    )


async def _drop(url: str, name: str) -> None:
    for attempt in range(1, DROP_ATTEMPTS + 1):
        try:
            await execute(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        except asyncpg.ObjectInUseError:
            # A process of Citus came back to it just then.
            if attempt == DROP_ATTEMPTS:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def measure(
    stage: Stage, servers: Pair[Servers], writers: Sequence[int], rounds: int, shards: int | None
) -> list[Result]:
    """Measures events in a second, by each number of writers in turn. BenchError if an event is missing."""
    started = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        stage.say("cluster  making databases")
        urls = await stack.enter_async_context(databases(stage, servers, shards))
        cluster = await stage.start_rater("cluster-rater", urls.phoebe)
        plain = await stage.start_rater("plain-rater", urls.reference)
        sides = Pair(*[Side(await _lines(stack, address, max(writers))) for address in (cluster, plain)])
        rates: dict[int, list[Pair[float]]] = {each: [] for each in writers}
        # Python specializes code as it runs, and each session prepares its statements.
        for each in writers:
            await measure_round(sides, each)
        for number in range(rounds):
            stage.say(f"cluster  round {number + 1} of {rounds}")
            for each in writers:
                rates[each].append(await measure_round(sides, each))
        stage.say("cluster  checking what was stored")
        await _check(urls.phoebe, cluster, started, sides.phoebe.events)
        await _check(urls.reference, plain, started, sides.reference.events)
    shard_count = shards or int((await _fetch(servers.phoebe.url, "SHOW citus.shard_count"))[0][0])
    note = f"{len(servers.phoebe.workers)} workers, {shard_count} shards"
    return [result_of(each, some, note) for each, some in rates.items()]


def result_of(writers: int, rates: Sequence[Pair[float]], cluster: str) -> Result:
    """The result of the rounds, in events per second. cluster: what it has."""
    note = (
        f"higher is better; {len(rates)} rounds of {ROUND_TURNS * TURN_BATCHES} batches of {BATCH_EVENTS} "
        f"events on each side, over {writers} streams of a producer each; {cluster}, all of them durable"
    )
    name = f"distributed_{writers}_writer{'s' if writers > 1 else ''}"
    return Result(name, ratio_of(rates), REFERENCE, "events/s", note)


async def _lines(stack: AsyncExitStack, address: str, count: int) -> list[Line]:
    channel = await stack.enter_async_context(
        grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
    )
    return [Line(channel, f"01930000-0000-7000-8000-0000000002{number:02}") for number in range(count)]


async def _check(url: str, rater: str, since: datetime, events: int) -> None:
    """Checks that so many events are stored, summed and on a bill. BenchError if not."""
    counted = {
        "events": (int((await _fetch(url, STORED))[0][0]), events),
        "events in the sums": (int((await _fetch(url, SUMMED))[0][0]), events),
    }
    if faults := unequal(counted):
        raise BenchError("storing was not complete: " + "; ".join(faults))
    await check_stored(Rater(rater, since), events)


async def _fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def _run(folder: Path, given: argparse.Namespace) -> None:
    console = open_console()
    stage = Stage(
        folder, lambda line: console.print(line, markup=False), environment_of_parts(os.environ), None
    )
    try:
        servers = await find_servers(given.cluster, given.plain)
        results = await measure(stage, servers, given.writers, given.rounds, given.shards)
        console.print("", results_table(results))
        for result in results:
            console.print(f"{result.name}: {result.note}", markup=False)
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
        prog="python -m bench.distributed", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--cluster", required=True, metavar="URL", help="of a database of the coordinator")
    parser.add_argument("--plain", required=True, metavar="URL", help="of a database of the other server")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--writers", type=int, nargs="+", default=WRITERS, help=f"that {TURN_BATCHES} can be divided by"
    )
    parser.add_argument("--shards", type=int, help="instead of the cluster's citus.shard_count")
    given = parser.parse_args(arguments)
    if any(each < 1 or TURN_BATCHES % each for each in given.writers) or given.rounds < 1:
        parser.error(f"--writers takes what divides {TURN_BATCHES}, and --rounds 1 or more")
    parent = PROJECT / ".phoebe"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="distributed-", dir=parent) as folder:
        try:
            asyncio.run(_run(Path(folder), given))
        except (RigError, OSError, asyncpg.PostgresError) as error:
            sys.exit(f"distributed failed: {error}")
        except grpc.aio.AioRpcError as error:
            sys.exit(f"distributed failed: {error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
