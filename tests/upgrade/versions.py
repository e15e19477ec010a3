"""The programs of two versions, as processes: the earlier one from .venv-earlier, and this one."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import run

import asyncpg

from demo.engine import LLAMA
from demo.scenario import TOY
from demo.traffic import Request, open_client, send_all
from rig.ports import accepts, reserve_port
from rig.processes import Running, start
from rig.programs import LISTENING, PRICES, PROJECT, environment_of_parts, module

EARLIER = PROJECT / ".venv-earlier"
ONE_HOUR = timedelta(hours=1)
COMMAND_TIMEOUT_S = 300
# How much of an answer is paid for whose client leaves in the middle depends on when it does.
SCRIPT = [request for request in TOY.script if request.leave_after is None]
ADMITTED = sum(request.expected_status != 400 for request in SCRIPT)
"""How many requests of the script reach the engine, and so have an event each."""
BILLS = """
    SELECT auth_id, resource_id, model_id, sum(event_count)::bigint, sum(prompt_tokens)::bigint,
        sum(cached_tokens)::bigint, sum(completion_tokens)::bigint, sum(cost)::text
    FROM rated_usage GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

type Bill = list[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Version:
    """Where the programs of a version are: its commands, and the file that mitmdump loads."""

    name: str
    commands: Path
    addon: Path

    def phoebe(self, url: str, *words: str, anomalies: bool = False) -> None:
        """Run a command on a database to its end. anomalies: exit status 2 will do."""
        done = run(
            [self.commands / "phoebe", *words],
            env={**environment_of_parts(os.environ), "DATABASE_URL": url},
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        fine = {0, 2} if anomalies else {0}
        assert done.returncode in fine, f"{self.name}: phoebe {' '.join(words)}: {done.stdout}{done.stderr}"


OLD = Version("earlier", EARLIER / "bin", EARLIER / "tree" / "addon" / "phoebe.py")
NEW = Version("this", Path(sys.executable).parent, PROJECT / "addon" / "phoebe.py")


@dataclass(frozen=True, slots=True)
class Part:
    """A program that runs, and its port."""

    running: Running
    port: int

    def stop(self) -> None:
        """Ask it to end, and wait."""
        assert asyncio.run(self.running.stop()) is None, self.running.said


@contextmanager
def rater(version: Version, url: str, folder: Path) -> Iterator[Part]:
    """Run the rater of a version on a database that is migrated, as long as the context lasts."""
    running = start(
        f"rater of {version.name} version",
        [version.commands / "phoebe", "serve", "--listen", "127.0.0.1:0", "--prices", PRICES],
        folder / f"rater-{version.name}.log",
        folder=PROJECT,
        environment={**environment_of_parts(os.environ), "DATABASE_URL": url},
    )
    try:
        yield Part(running, int(running.wait_until_says(LISTENING)))
    finally:
        if running.process.poll() is None:
            Part(running, 0).stop()


@contextmanager
def engine(folder: Path) -> Iterator[Part]:
    """Run a toy engine that has seen nothing yet, so that it answers a script with the same counts."""
    running = start(
        "engine",
        module("demo.engine"),
        folder / "engine.log",
        folder=PROJECT,
        environment=environment_of_parts(os.environ),
    )
    try:
        yield Part(running, int(running.wait_until_says(r"running on http://127\.0\.0\.1:(\d+)")))
    finally:
        running.kill()


@contextmanager
def proxy(version: Version, folder: Path, engine_port: int, rater_port: int) -> Iterator[Part]:
    """Run mitmdump with the addon of a version; its spool is `spool` in the folder."""
    port = reserve_port()
    running = start(
        f"proxy of {version.name} version",
        [
            *(version.commands / "mitmdump", "-s", version.addon, "--listen-host", "127.0.0.1"),
            *("--listen-port", str(port), "--mode", f"reverse:http://127.0.0.1:{engine_port}"),
            *("--set", f"confdir={folder / 'confdir'}", "--set", f"phoebe_spool={folder / 'spool'}"),
            *("--set", f"phoebe_rater=127.0.0.1:{rater_port}", "--set", "phoebe_drain_timeout=5"),
        ],
        folder / f"proxy-{version.name}.log",
        folder=PROJECT,
        environment=environment_of_parts(os.environ),
    )
    try:
        running.wait_until(lambda: accepts(port) and "phoebe: metering" in running.said, "serve")
        yield Part(running, port)
    finally:
        if running.process.poll() is None:
            Part(running, 0).stop()


def send_script(port: int, script: list[Request] = SCRIPT) -> None:
    """Send the script through a proxy, and see that every request had the answer that it must have."""

    async def send() -> None:
        async with open_client(f"http://127.0.0.1:{port}/v1", None) as client:
            assert [seen.problem for seen in await send_all(client, script) if seen.problem] == []

    asyncio.run(send())


def requests_of(customer: str, count: int) -> list[Request]:
    """Make requests of a customer of its own, so that its bill tells whose traffic it was."""
    return [replace(Request("more", customer, "llama-blue", LLAMA), max_tokens=7) for _ in range(count)]


def wait_for_events(url: str, count: int, proxies: list[Part]) -> None:
    """Wait until a database has as many events; more than that are never there."""
    anybody = proxies[0].running if proxies else None

    def stored() -> int:
        return int(asyncio.run(value(url, "SELECT count(*) FROM billing_event")))

    if anybody is None:
        assert stored() == count
    else:
        anybody.wait_until(lambda: stored() >= count, f"deliver {count} events")
        assert stored() == count


async def value(url: str, query: str) -> str:
    """Ask a database for one value."""
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(query))
    finally:
        await connection.close()


def rate(version: Version, url: str, since: datetime) -> Bill:
    """Rate by a version all hours from one on, the running one too; gives what the bills say."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + ONE_HOUR
    window = ("--since", f"{since:%Y-%m-%dT%H:00Z}", "--until", f"{end:%Y-%m-%dT%H:00Z}")
    version.phoebe(url, "rate", *window, anomalies=True)
    return asyncio.run(bill(url))


async def bill(url: str) -> Bill:
    """Read what the bills say, by customer, resource and model."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(BILLS)]
    finally:
        await connection.close()
