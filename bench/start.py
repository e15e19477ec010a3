"""From the start of a process to its first answer with status 200: Phoebe's mitmdump, and a bare one.

Much of it is imports, and most of these are mitmproxy's own: `python -X importtime -c "import
phoebe_addon.addon"` shows which.
"""

import asyncio
import time

from bench.cpu import cpu_time_s
from bench.engine import Steps, start_engine
from bench.errors import BenchError
from bench.load import AnswerReader, Work, request_bytes
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage

NAMES = ("proxy_start", "proxy_start_cpu")
REFERENCE = "mitmdump -q, reverse mode, connection_strategy=lazy"
TOKENS = 8
# Far beyond any start, so that one that comes to nothing ends the run.
START_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 0.005
_READ_BYTES = 65536


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Starts each side once in every round; the side that goes first changes."""
    account = await stage.account()
    engine = await start_engine(stage.engine_port, Steps())
    seconds: list[Pair[float]] = []
    cpu_s: list[Pair[float]] = []
    try:
        for number in range(rounds):
            stage.say(f"start   round {number + 1} of {rounds}")
            reference_first = number % 2 == 1
            first = await _time_start(stage, metered=not reference_first)
            second = await _time_start(stage, metered=reference_first)
            phoebe, reference = (second, first) if reference_first else (first, second)
            account.events += 1
            account.completion_tokens += TOKENS
            seconds.append(Pair(phoebe[0], reference[0]))
            cpu_s.append(Pair(phoebe[1], reference[1]))
    finally:
        engine.close()
    await account.until_stored()
    if problems := await account.rate():
        raise BenchError("metering was not complete: " + "; ".join(problems))
    note = (
        f"lower is better; {rounds} rounds; from the start of the process until a chat request was answered "
        "with 200: options read, spool opened, the admission and the event on disk"
    )
    return [
        Result(NAMES[0], ratio_of(seconds), REFERENCE, "s", note),
        Result(
            NAMES[1],
            ratio_of(cpu_s),
            REFERENCE,
            "s CPU",
            f"{note}; CPU time, which other work hardly changes",
        ),
    ]


async def _time_start(stage: Stage, *, metered: bool) -> tuple[float, float]:
    """Starts one side. Gives the seconds and the CPU seconds until its first answer."""
    started = time.perf_counter()
    async with stage.started_proxy(metered=metered) as side:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await _is_answered(side.port):  # noqa: ASYNC110 - it tells nobody when it serves
                await asyncio.sleep(_LOOK_EVERY_S)
        return time.perf_counter() - started, cpu_time_s(side.pid)


async def _is_answered(port: int) -> bool:
    """Sends a chat request on a connection of its own. Says whether it was answered with 200."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False  # it does not listen yet, or anew
    try:
        writer.write(request_bytes(Work(1, TOKENS, seconds=1.0), 0))
        answer = AnswerReader()
        while data := await reader.read(_READ_BYTES):
            if answer.feed(data):
                return True
    except (BenchError, ConnectionError):
        return False  # it does not take requests yet
    finally:
        writer.close()
    return False
