"""The contest: two proxies do the same work in turns, and what that took is measured."""

from dataclasses import dataclass, replace

from bench.conservation import check_metrics, read_metrics_when_spool_is_empty
from bench.cpu import cpu_time_s
from bench.errors import BenchError
from bench.load import Seen, Work
from bench.proxy_stage import Side
from bench.ratio import Pair
from bench.stage import Stage

# Python specializes code as it runs, and mitmproxy loads parts of itself at the first request.
WARM_UP_SECONDS = 0.5
WARM_UP_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """What one side made of one round's work. cpu_s: user and system time of its processes."""

    seen: Seen
    cpu_s: float


class Contest:
    """One pair of proxies. reference_is_metered: whether the reference, too, is one of Phoebe's."""

    def __init__(self, stage: Stage, sides: Pair[Side], *, reference_is_metered: bool = False) -> None:
        self._stage = stage
        self._sides = sides
        self._metered = [sides.phoebe, sides.reference] if reference_is_metered else [sides.phoebe]
        self._metered_answers = dict.fromkeys(self._metered, 0)

    async def run(self, title: str, work: Work, rounds: int) -> list[Pair[Measured]]:
        """Does the work once on each side in every round, after a warm-up. BenchError if a side fails.

        The side that goes first changes from round to round.
        """
        seconds = None if work.seconds is None else WARM_UP_SECONDS
        await self._measure(replace(work, seconds=seconds, tokens=WARM_UP_TOKENS), reference_first=False)
        pairs: list[Pair[Measured]] = []
        for number in range(rounds):
            self._stage.say(f"{title}  round {number + 1} of {rounds}")
            pairs.append(await self._measure(work, reference_first=number % 2 == 1))
        return pairs

    async def check(self) -> None:
        """Checks that every answer that was metered is an event, stored and rated. BenchError if not."""
        account = await self._stage.account()
        problems = []
        for side, answers in self._metered_answers.items():
            assert side.metrics_port is not None
            problems += check_metrics(await read_metrics_when_spool_is_empty(side.metrics_port), answers)
        problems += await account.rate()
        if problems:
            raise BenchError("metering was not complete: " + "; ".join(problems))

    async def _measure(self, work: Work, *, reference_first: bool) -> Pair[Measured]:
        """Does the work on both sides. Phoebe's has to get its events to the rater, too."""
        before_s = self._cpu_s()
        sides = [self._sides.phoebe, self._sides.reference]
        if reference_first:
            reference, phoebe = await self._stage.run_traffic(work, sides[::-1])
        else:
            phoebe, reference = await self._stage.run_traffic(work, sides)
        account = await self._stage.account()
        for side, seen in zip(self._metered, (phoebe, reference), strict=False):
            account.events += seen.answers
            account.completion_tokens += seen.answers * work.tokens
            self._metered_answers[side] += seen.answers
        await account.until_stored()
        after_s = self._cpu_s()
        return Pair(
            Measured(phoebe, after_s.phoebe - before_s.phoebe),
            Measured(reference, after_s.reference - before_s.reference),
        )

    def _cpu_s(self) -> Pair[float]:
        return Pair(
            cpu_time_s(self._sides.phoebe.pid, with_children=True),
            cpu_time_s(self._sides.reference.pid, with_children=True),
        )
