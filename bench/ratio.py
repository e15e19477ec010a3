"""From paired rounds to one ratio with its spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.errors import BenchError


@dataclass(frozen=True, slots=True)
class Pair[T]:
    """What Phoebe and the reference made of the same work in one round."""

    phoebe: T
    reference: T


@dataclass(frozen=True, slots=True)
class Ratio:
    """Phoebe / reference: the median over the rounds, the lowest and the highest round.

    phoebe, reference: the medians of the two sides, in the benchmark's unit.
    """

    median: float
    low: float
    high: float
    phoebe: float
    reference: float


def ratio_of(rounds: Sequence[Pair[float]]) -> Ratio:
    """Compares the sides round by round, so that what slows the machine for a while slows both.

    BenchError if there is no round or a side measured nothing.
    """
    if not rounds:
        raise BenchError("no round was measured")
    if any(pair.phoebe <= 0 or pair.reference <= 0 for pair in rounds):
        raise BenchError("a round measured nothing: it is too short for this machine's clock")
    ratios = [pair.phoebe / pair.reference for pair in rounds]
    return Ratio(
        median=median(ratios),
        low=min(ratios),
        high=max(ratios),
        phoebe=median(pair.phoebe for pair in rounds),
        reference=median(pair.reference for pair in rounds),
    )
