"""A price book: one validated version of the price file, immutable."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rater_service.money import Rates, decimal_text

FINE_TUNE_PREFIX = "ft:"
"""A model whose id starts with this is a fine-tune; every other model is a base model."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The premium that changes nothing: a fine-tune costs what its base costs."""

    def apply(self, base: Rates) -> Rates:
        """Return the base's rates."""
        return base

    def describe(self) -> str:
        """Name the premium as quotes show it."""
        return "identity"


@dataclass(frozen=True, slots=True)
class Multiplier:
    """The premium that multiplies each of the base's rates by `factor`, 0 or more."""

    factor: Decimal

    def apply(self, base: Rates) -> Rates:
        """Return the exact rates of a fine-tune of this base, not yet rounded."""
        return base.times(self.factor)

    def describe(self) -> str:
        """Name the premium as quotes show it: "multiplier 1.5"."""
        return f"multiplier {decimal_text(self.factor)}"


@dataclass(frozen=True, slots=True)
class Markup:
    """The premium that adds `markup`, USD per token, to each of the base's rates."""

    markup: Decimal

    def apply(self, base: Rates) -> Rates:
        """Return the exact rates of a fine-tune of this base, not yet rounded."""
        return base.plus(self.markup)

    def describe(self) -> str:
        """Name the premium as quotes show it: "markup 0.000000100"."""
        return f"markup {decimal_text(self.markup)}"


type Premium = Identity | Multiplier | Markup
"""What a fine-tune without its own rate costs on top of its base."""


@dataclass(frozen=True, slots=True)
class DerivedFineTune:
    """A fine-tune priced by its base model and the premium."""

    derived_from: str


@dataclass(frozen=True, slots=True)
class OwnRateFineTune:
    """A fine-tune with its own rates; the premium does not touch them."""

    rates: Rates


type FineTune = DerivedFineTune | OwnRateFineTune


@dataclass(frozen=True, slots=True)
class Allowed:
    """Models whose rates, or whose changes of rates, are meant although they look like mistakes.

    The name of a base model stands also for what is derived from it.
    """

    rates: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()


NOTHING_ALLOWED = Allowed()


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Everything one price file says.

    `content_hash` is the SHA-256 of `content`, the file's bytes, in hex. Every `derived_from` is a key of
    `base_models`. `gpu_floor_rates` prices no tokens; it is kept for an uptime meter. `effective_from` is a
    whole UTC hour, None where the file gives none. `allowed` counts when the file is loaded.
    """

    content_hash: str
    content: bytes
    base_models: Mapping[str, Rates]
    fine_tunes: Mapping[str, FineTune]
    premium: Premium
    gpu_floor_rates: Mapping[str, Decimal]
    effective_from: datetime | None
    allowed: Allowed = NOTHING_ALLOWED
