"""The traffic: a process with the engine behind the proxies and the clients before them.

The sides work in turns of a fraction of a second, so that what slows the machine for a while slows both.
Engine and clients are one process, because the engine's pace follows what the clients see. What they saw goes
to standard output as JSON, a line for each side.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from bench.engine import Steps, start_engine
from bench.errors import BenchError
from bench.load import Load, Seen, Work

TURN_S = 0.4
# Far beyond any piece of work, so that a stream that comes to nothing ends the run.
WORK_TIMEOUT_S = 80.0


def arguments_of(work: Work, engine_port: int, proxy_ports: Sequence[int]) -> list[str]:
    """The arguments that make `python -m bench.traffic` do a piece of work."""
    words = [f"--engine-port={engine_port}", f"--connections={work.connections}", f"--tokens={work.tokens}"]
    words.append(f"--streams={work.streams}")
    if work.seconds is not None:
        words.append(f"--seconds={work.seconds}")
    if work.running:
        words.append("--running")
    words += [f"--header={name}={value}" for name, value in work.headers]
    return [*words, *map(str, proxy_ports)]


async def do_work(work: Work, engine_port: int, proxy_ports: Sequence[int]) -> list[Seen]:
    """Sends the work through each proxy, to an engine that is there for as long as the work lasts.

    BenchError, OSError or TimeoutError if it can't be done.
    """
    steps = Steps()
    engine = await start_engine(engine_port, steps, running=work.running)
    loads = [Load(work, steps, index * work.connections) for index in range(len(proxy_ports))]
    try:
        async with asyncio.timeout(WORK_TIMEOUT_S):
            for load, port in zip(loads, proxy_ports, strict=True):
                await load.open(port)
            while waiting := [load for load in loads if not load.is_complete()]:
                for load in waiting:
                    await load.take_turn(TURN_S)
    finally:
        engine.close()
        for load in loads:
            load.close()
    return [load.seen for load in loads]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the traffic."""
    parser = argparse.ArgumentParser(prog="python -m bench.traffic", description="The benchmarks' traffic.")
    for name in ("engine-port", "connections", "tokens"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, help="of plain requests, on each side; without it: streams")
    parser.add_argument("--streams", type=int, default=1, help="on every connection, one after the other")
    parser.add_argument("--running", action="store_true", help="the engine says the usage in every chunk")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE", help="of each request")
    parser.add_argument("proxy_ports", type=int, nargs="+", metavar="PORT", help="of a proxy")
    given = parser.parse_args(arguments)
    headers = tuple((name, value) for name, _, value in (each.partition("=") for each in given.header))
    work = Work(given.connections, given.tokens, given.seconds, given.running, given.streams, headers)
    try:
        sides = asyncio.run(do_work(work, given.engine_port, given.proxy_ports))
    except (BenchError, OSError) as error:
        sys.exit(f"traffic failed: {str(error) or 'it took too long'}")
    for seen in sides:
        print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
