"""Holds many connections open while somebody looks at what they cost: streams in their middle, or idle ones.

The engine behind the proxy and the clients before it are this process. It says `holding N` once all are as
wanted; on SIGUSR1 it lets them come to their end, says as JSON what was seen, and ends.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict

from bench.engine import Steps, start_engine
from bench.errors import BenchError
from bench.load import Load, Seen, Work

TOKENS = 40
# So many begin together: a proxy's queue of connections that wait is no longer than that.
GROUP = 100
# Of all connections to their first answer, and to their end.
TIMEOUT_S = 300.0
_LOOK_EVERY_S = 0.02
_TURN_S = 0.4
# Of work that is over with the first answer.
_ONE_ANSWER_S = 1e-6


async def hold(engine_port: int, proxy_port: int, count: int, *, streamed: bool) -> Seen:
    """Holds so many connections until SIGUSR1. BenchError, OSError or TimeoutError if it can't be done."""
    go_on = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go_on.set)
    steps = Steps()
    engine = await start_engine(engine_port, steps)
    loads: list[Load] = []
    try:
        async with asyncio.timeout(TIMEOUT_S):
            for first in range(0, count, GROUP):
                work = Work(min(GROUP, count - first), TOKENS, None if streamed else _ONE_ANSWER_S)
                loads.append(load := Load(work, steps, first))
                await load.open(proxy_port)
                await _begin(load, steps, work)
        print(f"holding {count}", flush=True)
        await go_on.wait()
        async with asyncio.timeout(TIMEOUT_S):
            while waiting := [load for load in loads if streamed and not load.is_complete()]:
                for load in waiting:
                    await load.take_turn(_TURN_S)
    finally:
        engine.close()
        for load in loads:
            load.close()
    return _together([load.seen for load in loads])


async def _begin(load: Load, steps: Steps, work: Work) -> None:
    """Sends a request on each connection. Waits for the first event of each stream, or for each answer."""
    await load.take_turn(_LOOK_EVERY_S if work.streamed else 0.0)
    steps.turn = range(0)  # no stream's
    while work.streamed and load.seen.events < work.connections:  # noqa: ASYNC110 - of events nobody tells
        await asyncio.sleep(_LOOK_EVERY_S)


def _together(seen: Sequence[Seen]) -> Seen:
    return Seen(
        sum(each.answers for each in seen),
        sum(each.events for each in seen),
        sum(each.reads for each in seen),
        sum(each.elapsed_s for each in seen),
        first_s=0.0,
        chunk_s=0.0,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the holder."""
    parser = argparse.ArgumentParser(prog="python -m bench.holder", description="Holds connections open.")
    for name in ("engine-port", "proxy-port", "connections"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--streams", action="store_true", help="in the middle of a stream, not idle")
    given = parser.parse_args(arguments)
    try:
        seen = asyncio.run(
            hold(given.engine_port, given.proxy_port, given.connections, streamed=given.streams)
        )
    except (BenchError, OSError) as error:
        sys.exit(f"holder failed: {str(error) or 'it took too long'}")
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
