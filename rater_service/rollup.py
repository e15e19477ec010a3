"""A rollup: what a customer used of a model in an hour, and what it costs.

The fields of these classes are its columns: `rated_usage` has them by these names, `rated_usage_change` with
`old_` and `new_` before them. Statements take the names from here; see `statements`.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal

from rater_service.money import Rates, cost_of_sums, exact_sum


@dataclass(frozen=True, slots=True)
class RollupKey:
    """Whose usage of what a rollup sums. window_start: the beginning of its hour, UTC-aware."""

    window_start: datetime
    auth_id: str
    resource_id: str
    model_id: str


@dataclass(frozen=True, slots=True)
class Version:
    """What a rollup says, or said before a run changed it. Money in USD."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    billable_prompt_tokens: int
    cost: Decimal
    applied_prompt_rate: Decimal
    applied_cached_rate: Decimal
    applied_completion_rate: Decimal
    event_count: int
    base_model: str | None
    price_book: str

    @property
    def rates(self) -> Rates:
        """The rates it was billed at."""
        return Rates(self.applied_prompt_rate, self.applied_cached_rate, self.applied_completion_rate)

    def charges(self) -> "tuple[Charge, ...]":
        """Take its cost apart."""
        rates = self.rates
        return (
            Charge("prompt", self.billable_prompt_tokens, rates.prompt),
            Charge("cached", self.cached_tokens, rates.cached),
            Charge("completion", self.completion_tokens, rates.completion),
        )

    def explained_cost(self) -> Decimal:
        """Return what its tokens and rates make, USD."""
        return exact_sum(charge.amount for charge in self.charges())


@dataclass(frozen=True, slots=True)
class Charge:
    """What the tokens of one kind cost. rate: USD per token."""

    kind: str
    tokens: int
    rate: Decimal

    @property
    def amount(self) -> Decimal:
        """Tokens times rate, USD, exactly."""
        zero = Decimal(0)
        return cost_of_sums(self.tokens, 0, 0, Rates(self.rate, zero, zero))


KEY = tuple(field.name for field in fields(RollupKey))
"""The columns that tell rollups apart."""
VALUES = tuple(field.name for field in fields(Version))
"""The columns that a run computes."""
