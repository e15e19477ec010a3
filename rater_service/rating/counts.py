"""The numbers of a run: each event of the window once, and the rollups."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from rater_service.money import exact_sum
from rater_service.rating.unchanged import HourHeld


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run counts, by the names that rating/counts and the ledger have for it; total_cost in USD.

    Of a run that has computed nothing all of it is nothing.
    """

    events_in_window: int = 0
    events_rated: int = 0
    unpriced_events: int = 0
    unattributable_events: int = 0
    ambiguous_base_events: int = 0
    missing_usage_events: int = 0
    zero_charge_events: int = 0
    unbilled_output_events: int = 0
    unbilled_output_bytes: int = 0
    unbilled_output_auth_count: int = 0
    rollups_written: int = 0
    rollups_unchanged: int = 0
    reconciled_deletions: int = 0
    total_cost: Decimal = Decimal(0)
    price_books: Sequence[str] = ()

    def by_name(self) -> dict[str, Any]:
        """Give them by their names."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def changes_bills(self) -> bool:
        """Tell whether rollups differ from what they must be."""
        return self.rollups_written > 0 or self.reconciled_deletions > 0

    def plus(self, hours: Sequence[HourHeld]) -> "Counts":
        """Add hours that were not computed, because they are left as they are."""
        return replace(
            self,
            events_in_window=self.events_in_window + sum(held.events for held in hours),
            events_rated=self.events_rated + sum(held.rated_events for held in hours),
            zero_charge_events=self.zero_charge_events + sum(held.zero_charge_events for held in hours),
            rollups_unchanged=self.rollups_unchanged + sum(held.rollups for held in hours),
            total_cost=exact_sum((self.total_cost, *(held.cost for held in hours))),
            price_books=sorted({*self.price_books, *(book for held in hours for book in held.price_books)}),
        )
