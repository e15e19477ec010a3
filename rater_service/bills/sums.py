"""What bills come to, by the coarsest sums that the database keeps; the audit proves those."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from rater_service.bills.report import BillSums, Grouping, ReportRow, sums_of
from rater_service.bills.rollups import Selection
from rater_service.database.database import Connection
from rater_service.money import exact_sum
from rater_service.rating.day_sums import DAY, day_of, month_of, next_month
from rater_service.statements import Bound, bound, statement

ADDABLE = frozenset(
    {
        Grouping.MONTH,
        Grouping.DAY,
        Grouping.HOUR,
        Grouping.CUSTOMER,
        Grouping.RESOURCE,
        Grouping.MODEL,
    }
)
"""What sums can be broken down by: all that rollups have."""
_COLUMNS = {
    Grouping.MONTH: "date_trunc('month', part.day, 'UTC')",
    Grouping.DAY: "part.day",
    Grouping.HOUR: "part.hour",
    Grouping.CUSTOMER: "auth_id",
    Grouping.RESOURCE: "resource_id",
    Grouping.MODEL: "model_id",
}
_TIMES = frozenset({Grouping.MONTH, Grouping.DAY, Grouping.HOUR})
# Twelve hundred rows a month instead of a hundred thousand.
_MODEL_DAYS = "(SELECT *, NULL::text AS auth_id, NULL::text AS resource_id FROM rated_model_day)"


class Order(StrEnum):
    """Which rows come first."""

    COST = "cost"
    EVENTS = "events"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class AddedUp:
    """Sums of bills in the order asked for, and of all of them. left_out: how many rows there are besides."""

    rows: tuple[ReportRow, ...]
    total: BillSums
    left_out: int = 0

    @property
    def others(self) -> BillSums:
        """What the rows that are left out come to together."""
        return _less(self.total, [row.sums for row in self.rows])


async def add_up(
    connection: Connection,
    selection: Selection,
    by: Sequence[Grouping],
    order: Order = Order.NAME,
    limit: int | None = None,
) -> AddedUp:
    """Add the rollups selected up as they are. The result is that of `make_report`.

    by: of ADDABLE. limit: how many rows at most, the first in their order; None: all.
    """
    records = await connection.fetch(*await over_sums(connection, selection, by, order, limit))
    if not records:
        return AddedUp((), BillSums(0, 0, 0, 0, 0, 0, exact_sum([])))
    rows = tuple(row_of(record, by) for record in records)
    total = sums_of(records[0], "all_")
    return AddedUp(rows if by else (), total, records[0]["all_rows"] - len(rows) if by else 0)


def row_of(record: asyncpg.Record, by: Sequence[Grouping]) -> ReportRow:
    """Read a record that the statement of `over_sums` gives."""
    return ReportRow({one: record[one] for one in by}, sums_of(record))


async def over_sums(
    connection: Connection, selection: Selection, by: Sequence[Grouping], order: Order, limit: int | None
) -> Bound:
    """Give the statement that adds up; arguments as those of `add_up`."""
    spans = await _spans(connection, selection, by)
    names = [f"{_COLUMNS[grouping]} AS {grouping}" for grouping in by]
    # Bytes, and not the letters of some language, as programs sort.
    in_turn = [str(one) if one in _TIMES else f'{one} COLLATE "C"' for one in by] or ["rollups"]
    if order is not Order.NAME:
        in_turn.insert(0, f"grouped.{order} DESC")
    found = statement(
        "bills/sums",
        names=", ".join(names) or "NULL AS name",
        groups=", ".join(_COLUMNS[grouping] for grouping in by) or "()",
        days=_MODEL_DAYS if _are_by_model(selection, by) else "rated_day",
        order=", ".join(in_turn),
    )
    return found.bind({**asdict(selection), **spans, "limit": limit})


async def _spans(connection: Connection, selection: Selection, by: Sequence[Grouping]) -> dict[str, datetime]:
    """Give the whole days of a window, and the whole months among them that can be taken as such."""
    start, end = selection.window_start, selection.window_end
    first_day, end_day = day_of(start), day_of(end)
    if first_day != start:
        first_day += DAY
    by_hour = Grouping.HOUR in by
    if not by_hour and end_day != end and not await _has_rollups(connection, end, end_day + DAY):
        # The running day: what is there of it is in the window.
        end_day += DAY
    if by_hour or first_day >= end_day:
        return dict.fromkeys(("first_day", "end_day", "first_month", "end_month"), end)
    if Grouping.DAY in by or _are_by_model(selection, by):
        return {"first_day": first_day, "end_day": end_day, "first_month": end_day, "end_month": end_day}
    first_month = month_of(first_day)
    if first_month != first_day:
        first_month = next_month(first_month)
    end_month = month_of(end)
    if end_month != end and not await _has_rollups(connection, end, next_month(end_month)):
        # The running month: what is there of it is in the window.
        end_month = end_day = next_month(end_month)
    if first_month >= end_month:
        first_month = end_month = end_day
    return {"first_day": first_day, "end_day": end_day, "first_month": first_month, "end_month": end_month}


async def _has_rollups(connection: Connection, start: datetime, end: datetime) -> bool:
    found = bound("bills/has_rollups", window_start=start, window_end=end)
    return bool(await connection.fetchval(*found))


def _are_by_model(selection: Selection, by: Sequence[Grouping]) -> bool:
    """Tell whether no customer and no resource matter."""
    return selection.auth_id is None and selection.resource_id is None and _BY_MODEL.issuperset(by)


_BY_MODEL = frozenset({Grouping.MONTH, Grouping.DAY, Grouping.MODEL})


def _less(whole: BillSums, parts: Sequence[BillSums]) -> BillSums:
    return BillSums(
        rollups=whole.rollups - sum(part.rollups for part in parts),
        events=whole.events - sum(part.events for part in parts),
        prompt_tokens=whole.prompt_tokens - sum(part.prompt_tokens for part in parts),
        cached_tokens=whole.cached_tokens - sum(part.cached_tokens for part in parts),
        billable_prompt_tokens=whole.billable_prompt_tokens
        - sum(part.billable_prompt_tokens for part in parts),
        completion_tokens=whole.completion_tokens - sum(part.completion_tokens for part in parts),
        cost=exact_sum([whole.cost, *(-part.cost for part in parts)]),
    )
