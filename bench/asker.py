"""The asker: a process that asks a rater for quotes and the reference for as many bytes, in turns.

The reference may be a rater, too, and be asked for the same quotes. What each side took goes to standard
output as JSON, a line for each round.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass

import grpc

from bench.echo import METHOD as ECHO
from bench.errors import BenchError
from phoebe_proto.v1.rating_pb2 import ResolvePriceRequest, ResolvePriceResponse

RESOLVE_PRICE = "/phoebe.v1.RatingService/ResolvePrice"
QUESTION = ResolvePriceRequest(
    model_id="ft:support",
    base_model="meta-llama/Llama-3.1-8B-Instruct",
    prompt_tokens=1000,
    cached_tokens=400,
    completion_tokens=500,
)
CONCURRENCY = 16
TURN_CALLS = 400
ROUND_TURNS = 6
# Python specializes code as it runs.
WARM_UP_TURNS = 2
CALL_TIMEOUT_S = 30.0

type Ask = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a round: how many calls each side answered, and how long it took for them."""

    calls: int
    phoebe_s: float
    reference_s: float


class Asker:
    """Asks both sides the same number of times, CONCURRENCY calls at once."""

    def __init__(self, phoebe: Ask, reference: Ask) -> None:
        self._phoebe = phoebe
        self._reference = reference
        self._question = QUESTION.SerializeToString()
        self._answers: list[bytes] = []

    async def ask(self, turns: int) -> Asked:
        """Has both sides answer. BenchError if one answer is not like the first."""
        sides = [self._phoebe, self._reference]
        seconds = dict.fromkeys(sides, 0.0)
        gc.collect()
        gc.freeze()
        for _ in range(turns):
            for ask in sides:
                started = time.perf_counter()
                await asyncio.gather(*(self._calls(ask) for _ in range(CONCURRENCY)))
                seconds[ask] += time.perf_counter() - started
                self._check()
            sides.reverse()
        return Asked(turns * TURN_CALLS, seconds[self._phoebe], seconds[self._reference])

    async def _calls(self, ask: Ask) -> None:
        for _ in range(TURN_CALLS // CONCURRENCY):
            self._answers.append(await ask(self._question))

    def _check(self) -> None:
        """Looks at the answers only now, when no time is taken."""
        if len(self._answers) != TURN_CALLS or len(set(self._answers)) != 1:
            raise BenchError("not every call got the same answer")
        self._answers.clear()


async def one_answer(rater: str) -> ResolvePriceResponse:
    """Asks a rater once. BenchError or grpc.aio.AioRpcError if it gives no quote with a cost."""
    async with _open(rater) as channel:
        answer = ResolvePriceResponse.FromString(
            await _method(channel, RESOLVE_PRICE)(QUESTION.SerializeToString())
        )
    if not answer.cost:
        raise BenchError("the rater gave no cost")
    return answer


async def ask(rater: str, reference: str, rounds: int, reference_method: str = ECHO) -> list[Asked]:
    """Asks both sides: a warm-up first, then so many rounds."""
    async with AsyncExitStack() as stack:
        phoebe, other = [
            _method(await stack.enter_async_context(_open(address)), method)
            for address, method in ((rater, RESOLVE_PRICE), (reference, reference_method))
        ]
        asker = Asker(phoebe, other)
        return [await asker.ask(turns) for turns in (WARM_UP_TURNS, *[ROUND_TURNS] * rounds)]


def _open(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])


def _method(channel: grpc.aio.Channel, method: str) -> Ask:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)

    async def ask(question: bytes) -> bytes:
        answer: bytes = await call(question, timeout=CALL_TIMEOUT_S)
        return answer

    return ask


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the asker."""
    parser = argparse.ArgumentParser(prog="python -m bench.asker", description="Asks both sides.")
    parser.add_argument("--rater", required=True, metavar="HOST:PORT")
    parser.add_argument("--reference", required=True, metavar="HOST:PORT", help="of what it is compared with")
    parser.add_argument("--reference-method", default=ECHO, help="which takes the same question")
    parser.add_argument("--rounds", type=int, required=True)
    given = parser.parse_args(arguments)
    try:
        rounds = asyncio.run(ask(given.rater, given.reference, given.rounds, given.reference_method))
    except grpc.aio.AioRpcError as error:
        sys.exit(f"asker failed: {error.code().name}: {error.details()}")
    except BenchError as error:
        sys.exit(f"asker failed: {error}")
    for asked in rounds:
        print(json.dumps(asdict(asked)))


if __name__ == "__main__":
    main()
