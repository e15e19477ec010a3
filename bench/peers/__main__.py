"""Measure other gateways beside Phoebe: `make bench-peers`, which installs them where nothing else is."""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.conservation import check_metrics, read_metrics_when_spool_is_empty
from bench.cpu import available_cpus, cpu_time_s, pinned_to, split_cpus
from bench.errors import BenchError
from bench.load import Work
from bench.peers.gateways import BARE, PHOEBE, Gateway, headers_for, litellm, portkey
from bench.proxy_stage import Side
from bench.stage import Stage
from demo.report import open_console
from rig.errors import RigError
from rig.ports import reserve_port
from rig.programs import PROJECT, environment_of_parts

ROUNDS = 5
SECONDS = 2.0
CONNECTIONS = 16
TOKENS = 180


@dataclass(slots=True)
class Contestant:
    """What is measured. In each round: CPU time of a request, children included, and requests in a second."""

    name: str
    does: str
    does_not: str
    side: Side
    cpu_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)


async def measure(stage: Stage, folder: Path, rounds: int) -> list[Contestant]:
    """Sends the same requests through each, in turns, in every round. Phoebe comes first in the answer.

    RigError if a part fails, or if metering was not complete.
    """
    async with AsyncExitStack() as stack:
        sides = await stack.enter_async_context(stage.proxies({}))
        contestants = [
            Contestant(f"Phoebe {version('phoebe-metering')}", *PHOEBE, sides.phoebe),
            Contestant(f"mitmdump {version('mitmproxy')}", *BARE, sides.reference),
        ]
        for name in ("litellm", "portkey"):
            port = reserve_port()
            gateway = litellm(folder, port, stage.engine_port) if name == "litellm" else portkey(port)
            contestants.append(await _started(stage, stack, gateway, name, port))
        answers = await _contest(stage, contestants, rounds)
        await _check(stage, sides.phoebe, answers)
    return contestants


async def _started(stage: Stage, stack: AsyncExitStack, gateway: Gateway, name: str, port: int) -> Contestant:
    stage.say(f"peers   starting {gateway.name} {gateway.version}")
    side = await stack.enter_async_context(stage.beside(gateway.command, name, port, gateway.environment))
    return Contestant(f"{gateway.name} {gateway.version}", gateway.does, gateway.does_not, side)


async def _contest(stage: Stage, contestants: Sequence[Contestant], rounds: int) -> int:
    """Gives how many answers there were by Phoebe."""
    headers = tuple(headers_for(stage.engine_port).items())
    work = Work(CONNECTIONS, TOKENS, SECONDS, headers=headers)
    answers = 0
    for number in range(-1, rounds):  # the first one warms them up
        stage.say(f"peers   round {number + 1} of {rounds}" if number >= 0 else "peers   warming up")
        turn = number % len(contestants)
        order = [*contestants[turn:], *contestants[:turn]]
        before_s = [cpu_time_s(each.side.pid, with_children=True) for each in order]
        seen = await stage.run_traffic(work, [each.side for each in order])
        phoebes = seen[order.index(contestants[0])].answers
        answers += phoebes
        account = await stage.account()
        account.events += phoebes
        account.completion_tokens += phoebes * TOKENS
        await account.until_stored()
        if number < 0:
            continue
        for contestant, was_s, got in zip(order, before_s, seen, strict=True):
            took_s = cpu_time_s(contestant.side.pid, with_children=True) - was_s
            contestant.cpu_ms.append(took_s / got.answers * 1e3)
            contestant.per_second.append(got.answers / got.elapsed_s)
    return answers


async def _check(stage: Stage, phoebe: Side, answers: int) -> None:
    assert phoebe.metrics_port is not None
    problems = check_metrics(await read_metrics_when_spool_is_empty(phoebe.metrics_port), answers)
    problems += await (await stage.account()).rate()
    if problems:
        raise BenchError("metering was not complete: " + "; ".join(problems))


def table_of(contestants: Sequence[Contestant]) -> Table:
    """One line for each: what a request took, and what is done for it."""
    phoebe = median(contestants[0].cpu_ms)
    table = Table(title="Plain chat requests, median (lowest to highest round)", title_justify="left")
    for name in ("gateway", "CPU ms / request", "Phoebe = 1", "requests / s", "does", "not done here"):
        table.add_column(name)
    for each in contestants:
        table.add_row(
            escape(each.name),
            f"{median(each.cpu_ms):.2f} ({min(each.cpu_ms):.2f} to {max(each.cpu_ms):.2f})",
            f"{median(each.cpu_ms) / phoebe:.2f}",
            f"{median(each.per_second):.0f} ({min(each.per_second):.0f} to {max(each.per_second):.0f})",
            each.does,
            each.does_not,
        )
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    rounds = parser.parse_args().rounds
    console = open_console()
    split = split_cpus(available_cpus())
    parent = PROJECT / ".phoebe"
    parent.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-peers-", dir=parent) as folder,
        pinned_to(split.others if split else None),
    ):
        stage = Stage(Path(folder), console.print, environment_of_parts(os.environ), split)
        sys.exit(asyncio.run(_run(stage, Path(folder), rounds, console)))


async def _run(stage: Stage, folder: Path, rounds: int, console: Console) -> int:
    problems: list[str] = []
    contestants: list[Contestant] = []
    try:
        contestants = await measure(stage, folder, rounds)
    except RigError as error:
        problems.append(str(error))
    finally:
        problems += await stage.stop()
    if problems:
        stage.show_logs()
        console.print(f"bench failed: {'; '.join(problems)}", markup=False, soft_wrap=True)
        return 1
    console.print(table_of(contestants))
    return 0


if __name__ == "__main__":
    main()
