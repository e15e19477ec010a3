"""Bills by the day: the table, its chart, and how far each day is rated."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from phoebe_runtime.counts import counted
from rater_service.bills.estimate import Estimate
from rater_service.bills.report import BillSums, Grouping
from rater_service.bills.rollups import Selection
from rater_service.bills.sums import AddedUp
from rater_service.console.charts import Chart, Value, bars
from rater_service.console.pages.bill_tables import SUMS, day_text, sum_cells
from rater_service.console.query import Query
from rater_service.console.tables import Cell, Column, Kind, Table, row
from rater_service.console.view import View
from rater_service.database.database import Connection
from rater_service.money import decimal_text, exact_sum
from rater_service.rating.day_sums import DAY, day_of


def days_table(query: Query, by_day: AddedUp, unrated: Estimate, now: datetime) -> Table:
    """Give the table: what was billed of each day, and what an estimate says of the rest."""
    sums = {one.names[Grouping.DAY]: one.sums for one in by_day.rows}
    estimated = _estimated_days(unrated)
    nothing = BillSums(0, 0, 0, 0, 0, 0, Decimal(0))
    rows = []
    for day in _each_day(query, {*sums, *estimated}):
        of_day = sums.get(day, nothing)
        rows.append(
            row(
                Cell(
                    day_text(day),
                    query.href("/usage", since=day_text(day), until=day_text(day + DAY), by="hour,model"),
                ),
                Cell(_state(day, unrated, now, rated=day in sums)),
                *sum_cells(of_day),
                Cell(estimated.get(day)),
            )
        )
    return Table(
        name="days",
        caption="By day, UTC",
        columns=(
            Column("day", "day"),
            Column("state", "state"),
            *SUMS,
            Column("estimate", "not rated, USD", Kind.MONEY),
        ),
        rows=rows,
        total=row("total", None, *sum_cells(by_day.total), None),
        empty="Nothing was billed in this window.",
        note="Estimates are on no bill and in no total.",
    )


def _each_day(query: Query, known: Iterable[object]) -> list[datetime]:
    days = sorted(day for day in known if isinstance(day, datetime))
    if not days:
        return []
    # Days without anything between others are shown: a gap is worth to be seen.
    first, last = days[0], days[-1]
    return [first + count * DAY for count in range((last - first) // DAY + 1)]


def _estimated_days(unrated: Estimate) -> dict[datetime, Decimal]:
    days: dict[datetime, Decimal] = {}
    for part in unrated.parts:
        day = day_of(part.hour)
        days[day] = exact_sum((days.get(day, Decimal(0)), part.cost or Decimal(0)))
    return days


def _state(day: datetime, unrated: Estimate, now: datetime, *, rated: bool) -> str:
    """Say how far a day is rated, in words."""
    hours = {late.hour for late in (*unrated.unrated, *unrated.late)}
    if day <= now < day + DAY:
        return "running day so far"
    missing = sum(day <= hour < day + DAY for hour in hours)
    if missing:
        return f"{counted(missing, 'hour')} to be rated" if rated else "not rated"
    return "rated" if rated else "no usage billed"


def day_chart(query: Query, by_day: AddedUp, unrated: Estimate, now: datetime) -> Chart | None:
    """Draw the same."""
    sums = {one.names[Grouping.DAY]: one.sums.cost for one in by_day.rows}
    estimated = _estimated_days(unrated)
    values = []
    for day in _each_day(query, {*sums, *estimated}):
        cost, guess = sums.get(day, Decimal(0)), estimated.get(day, Decimal(0))
        more = f", and not rated, estimate, {decimal_text(guess)} USD" if guess else ""
        values.append(
            Value(
                label=day_text(day)[5:],
                amount=cost,
                text=f"{day_text(day)}: {decimal_text(cost)} USD{more}",
                href=query.href("/usage", since=day_text(day), until=day_text(day + DAY), by="hour,model"),
                estimate=guess,
                unfinished=day <= now < day + DAY,
            )
        )
    return bars("USD by day", values)


async def sums_before(connection: Connection, view: View) -> BillSums:
    """Add up the same span a month before: as many hours, from the same day of the month on."""
    query = view.query
    start = _month_before(query.start)
    span = query.end - query.start
    selection = Selection(start, min(start + span, query.start), query.customer, query.resource, query.model)
    return (await view.sums.add_up(connection, selection, [])).total


def _month_before(moment: datetime) -> datetime:
    last = moment.replace(day=1) - timedelta(days=1)
    return moment.replace(year=last.year, month=last.month, day=min(moment.day, last.day))


def change_text(now: Decimal, before: Decimal) -> str | None:
    """Say by how much more or less it is than the same span before, in percent; None: there was nothing."""
    return f"{(now - before) / before * 100:+.1f} %" if before else None
