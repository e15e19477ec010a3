"""Estimates: what usage that no run has rated would cost at the prices in force. They are on no bill."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rater_service.bills.rollups import Selection
from rater_service.database.database import Connection
from rater_service.hours import HOUR, hour_of
from rater_service.money import cost_of_sums, exact_sum
from rater_service.prices.history import PriceHistory, Quote
from rater_service.prices.store import load_history
from rater_service.rating.late_usage import LateHour, find_late_hours
from rater_service.statements import bound

HOURS_MAX = 26
"""How many hours are estimated at most, the last ones: of more there are too many sums."""


@dataclass(frozen=True, slots=True)
class EstimatedPart:
    """What somebody used of a model in an hour; cost None: there is no price. Names may be left out."""

    hour: datetime
    auth_id: str | None
    resource_id: str | None
    model_id: str
    events: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What no run has rated of a window, the running hour included.

    unrated: hours without a run. late: hours with usage that came after their run. parts: of the last of the
    unrated ones, at most HOURS_MAX. left_out: how many events are in the unrated ones before these.
    """

    unrated: tuple[LateHour, ...]
    late: tuple[LateHour, ...]
    parts: tuple[EstimatedPart, ...]
    left_out: int

    @property
    def cost(self) -> Decimal:
        """What the parts with a price would cost together, USD."""
        return exact_sum(part.cost for part in self.parts if part.cost is not None)

    @property
    def events(self) -> int:
        """How many events the parts have."""
        return sum(part.events for part in self.parts)

    @property
    def unpriced_events(self) -> int:
        """How many of them have no price."""
        return sum(part.events for part in self.parts if part.cost is None)

    @property
    def late_events(self) -> int:
        """How many events came after the run over their hour."""
        return sum(late.events_unseen for late in self.late)


async def estimate(connection: Connection, selection: Selection, now: datetime) -> Estimate:
    """Estimate what of a window no run has rated, at the prices that are in force for its hours.

    now: UTC-aware; hours after the running one are left out. Its parts are of all customers and resources.
    """
    end = min(selection.window_end, hour_of(now) + HOUR)
    found = (
        await find_late_hours(connection, selection.window_start, end) if selection.window_start < end else []
    )
    unrated = tuple(late for late in found if late.run is None)
    estimated = unrated[-HOURS_MAX:]
    parts: Sequence[EstimatedPart] = ()
    if estimated:
        hours = [late.hour for late in estimated]
        parts, _ = await _parts(connection, selection, hours, by_key=False, limit=None)
    return Estimate(
        unrated=unrated,
        late=tuple(late for late in found if late.run is not None),
        parts=tuple(parts),
        left_out=sum(late.events_unseen for late in unrated[: -len(estimated)]) if estimated else 0,
    )


async def estimate_by_key(
    connection: Connection, selection: Selection, of: Estimate, limit: int
) -> tuple[Sequence[EstimatedPart], int]:
    """Take an estimate's parts apart by customer and resource: those with most events first, at most `limit`.

    Gives them, and how many there are besides.
    """
    hours = sorted({part.hour for part in of.parts})
    if not hours:
        return (), 0
    parts, count = await _parts(connection, selection, hours, by_key=True, limit=limit)
    return parts, count - len(parts)


async def _parts(
    connection: Connection, selection: Selection, hours: list[datetime], *, by_key: bool, limit: int | None
) -> tuple[list[EstimatedPart], int]:
    history = await load_history(connection, min(hours))
    rows = await connection.fetch(
        *bound(
            "bills/estimate",
            hours=hours,
            by_key=by_key,
            limit=limit,
            auth_id=selection.auth_id,
            resource_id=selection.resource_id,
            model_id=selection.model_id,
        )
    )
    parts = [
        EstimatedPart(
            hour=row["window_start"],
            auth_id=row["auth_id"],
            resource_id=row["resource_id"],
            model_id=row["model_id"],
            events=row["events"],
            prompt_tokens=int(row["prompt"]),
            cached_tokens=int(row["cached"]),
            completion_tokens=int(row["completion"]),
            cost=_cost(
                history,
                (row["model_id"], row["base_model"], row["window_start"]),
                (int(row["billable"]), int(row["cached"]), int(row["completion"])),
            ),
        )
        for row in rows
    ]
    return parts, rows[0]["all_rows"] if rows else 0


def _cost(
    history: PriceHistory, use: tuple[str, str | None, datetime], tokens: tuple[int, int, int]
) -> Decimal | None:
    quote = history.resolve(*use) if history else None
    return cost_of_sums(*tokens, quote.price.billed) if isinstance(quote, Quote) else None
