"""Exact money: rates in USD per token, token counts, and the cost they make.

Nothing here may lose a digit, so every operation runs in a decimal context that raises on an inexact result.
`billed_rate` is the one place where what is billed is rounded. Rounding the rate and not the cost means that
the rate written on a bill always reproduces its cost. `in_cents` rounds what is asked for in cents.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from functools import reduce
from typing import NamedTuple

NANO = Decimal("0.000000001")
"""The smallest part of a dollar a billed rate can have."""
CENT = Decimal("0.01")
_ZERO = Decimal(0)

# 100 digits hold the product of two numbers of 40 digits each, and a sum of such products.
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
_ROUNDING = Context(prec=100, rounding=ROUND_HALF_UP, traps=[InvalidOperation, DivisionByZero, Overflow])


def billed_rate(exact: Decimal) -> Decimal:
    """Round a rate, USD per token, half-up to 9 decimals: the rate that is billed."""
    return exact.quantize(NANO, context=_ROUNDING)


def in_cents(amount: Decimal) -> Decimal:
    """Round an amount, USD, half-up to cents, as an invoice states it: the sum of a bill, never its parts."""
    return amount.quantize(CENT, context=_ROUNDING)


def rounds_badly(exact: Decimal) -> bool:
    """Say whether rounding this rate to what is billed changes it by more than 0.1 %."""
    change = _EXACT.subtract(billed_rate(exact), exact)
    return _EXACT.multiply(abs(change), 1000) > exact


def per_million(rate: Decimal) -> Decimal:
    """Return a rate, USD per token, as USD per million tokens, exactly."""
    return _EXACT.scaleb(rate, 6)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one token of each kind costs: USD per token, never negative."""

    prompt: Decimal
    cached: Decimal
    completion: Decimal

    def times(self, factor: Decimal) -> "Rates":
        """Multiply every rate by `factor`, exactly."""
        return self._each(lambda rate: _EXACT.multiply(rate, factor))

    def plus(self, amount: Decimal) -> "Rates":
        """Add `amount`, USD per token, to every rate, exactly."""
        return self._each(lambda rate: _EXACT.add(rate, amount))

    def billed(self) -> "Rates":
        """Round every rate to what is billed; see `billed_rate`."""
        return self._each(billed_rate)

    def by_component(self) -> dict[str, Decimal]:
        """Return the rates under the names they have in the price file."""
        return {"prompt": self.prompt, "cached": self.cached, "completion": self.completion}

    def _each(self, change: Callable[[Decimal], Decimal]) -> "Rates":
        return Rates(change(self.prompt), change(self.cached), change(self.completion))


TOKENS_MAX = 2**53
"""The most tokens of a kind one exchange can have: so far, programs that read JSON numbers are exact."""


class TokenCounts(NamedTuple):
    """Tokens of one exchange as they were reported, 0 or more; `prompt` includes `cached`."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0

    @property
    def billable_cached(self) -> int:
        """Prompt tokens charged at the cached rate: of what is reported, no more than the prompt has."""
        return min(self.cached, self.prompt)

    @property
    def billable_prompt(self) -> int:
        """Prompt tokens charged at the prompt rate: those that did not come from the cache."""
        return self.prompt - self.billable_cached


def cost(counts: TokenCounts, rates: Rates) -> Decimal:
    """Return what the tokens of one exchange cost at these rates, USD, exactly."""
    cached = counts.billable_cached
    return cost_of_sums(counts.prompt - cached, cached, counts.completion, rates)


def cost_of_sums(billable_prompt: int, cached: int, completion: int, rates: Rates) -> Decimal:
    """Return what token sums of several exchanges cost at these rates, USD, exactly.

    `billable_prompt` and `cached` are to be summed per exchange: what one has too many cached tokens must not
    shorten another's prompt.
    """
    of_completion = _EXACT.fma(rates.completion, completion, _ZERO)
    of_cached_too = _EXACT.fma(rates.cached, cached, of_completion)
    return _EXACT.fma(rates.prompt, billable_prompt, of_cached_too)


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """Add amounts of money up, exactly; of none the sum is 0."""
    return reduce(_EXACT.add, amounts, _ZERO)


def decimal_text(value: Decimal) -> str:
    """Write a decimal in plain notation with all its digits, never with an exponent; zero is "0"."""
    return format(value, "f") if value else "0"
