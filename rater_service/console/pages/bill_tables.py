"""What tables of sums of bills share: their columns, their rows, and where names in them lead to."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.bills.report import BillSums, Grouping, ReportRow
from rater_service.bills.sums import AddedUp, Order, add_up, over_sums, row_of
from rater_service.console.query import Query
from rater_service.console.tables import AllRows, Cell, Column, Kind, Row, Source, value_text
from rater_service.database.database import Connection
from rater_service.hours import HOUR, utc_text
from rater_service.rating.day_sums import DAY

LABELS = {
    Grouping.MONTH: "month",
    Grouping.DAY: "day",
    Grouping.HOUR: "hour",
    Grouping.CUSTOMER: "customer",
    Grouping.RESOURCE: "resource",
    Grouping.MODEL: "model",
}
_NAME_PAGES = {
    Grouping.CUSTOMER: ("/bill", None),
    Grouping.RESOURCE: ("/usage", "customer,model"),
    Grouping.MODEL: ("/usage", "customer"),
}
SUMS = (
    Column("rollups", "rollups", Kind.COUNT),
    Column("events", "events", Kind.COUNT),
    Column("prompt_tokens", "prompt tokens", Kind.COUNT),
    Column("cached_tokens", "of these cached", Kind.COUNT),
    Column("completion_tokens", "completion tokens", Kind.COUNT),
    Column("cost", "USD", Kind.MONEY),
)
SHARE = Column("share", "share, %", Kind.COUNT)


def name_column(grouping: Grouping) -> Column:
    """Give the column of what sums are grouped by."""
    names = {Grouping.CUSTOMER: "auth_id", Grouping.RESOURCE: "resource_id", Grouping.MODEL: "model_id"}
    return Column(
        names.get(grouping, str(grouping)), LABELS[grouping], Kind.NAME if grouping in names else Kind.TEXT
    )


def _sum_row(query: Query, one: ReportRow, whole: Decimal) -> Row:
    names = [
        Cell(name_text(grouping, value), narrowed_href(query, grouping, value))
        for grouping, value in one.names.items()
    ]
    return (*names, *sum_cells(one.sums), Cell(_share(one.sums.cost, whole)))


def sum_cells(sums: BillSums, rollups_href: str | None = None) -> Row:
    """Give the cells of SUMS. rollups_href: where the rollups are listed."""
    return (
        Cell(sums.rollups, rollups_href),
        Cell(sums.events),
        Cell(sums.prompt_tokens),
        Cell(sums.cached_tokens),
        Cell(sums.completion_tokens),
        Cell(sums.cost),
    )


def rows_of(query: Query, by: Sequence[Grouping], added: AddedUp) -> list[Row]:
    """Give the rows of a table of sums with shares. If some are left out, the last one has these together."""
    whole = added.total.cost
    rows = [_sum_row(query, one, whole) for one in added.rows]
    if added.left_out:
        others = added.others
        names = [Cell(counted(added.left_out, "other")), *(Cell(None) for _ in by[1:])]
        rows.append((*names, *sum_cells(others), Cell(_share(others.cost, whole))))
    return rows


def all_sums(query: Query, by: Sequence[Grouping], order: Order) -> Source:
    """Say where a download of such a table reads all its rows."""

    async def all_rows(connection: Connection) -> AllRows:
        total = (await add_up(connection, query.selection, [])).total
        statement = await over_sums(connection, query.selection, by, order, None)

        def cells(record: asyncpg.Record) -> Row:
            one = row_of(record, by)
            names = (Cell(name_text(grouping, value)) for grouping, value in one.names.items())
            return (*names, *sum_cells(one.sums), Cell(_share(one.sums.cost, total.cost)))

        return AllRows(statement, cells, total_row(by, total))

    return all_rows


def total_row(by: Sequence[Grouping], total: BillSums) -> Row:
    """Give the last line of such a table."""
    return (Cell("total"), *(Cell(None) for _ in by[1:]), *sum_cells(total), Cell("100"))


def _share(cost: Decimal, whole: Decimal) -> str:
    return f"{cost / whole * 100:.1f}" if whole else "0"


def name_text(grouping: Grouping, value: str | datetime | None) -> str | None:
    """Write a name, or a time by its unit."""
    if not isinstance(value, datetime):
        return value
    written = utc_text(value)
    return {Grouping.HOUR: written, Grouping.DAY: written[:10], Grouping.MONTH: written[:7]}[grouping]


def narrowed_href(query: Query, grouping: Grouping, value: str | datetime | None) -> str | None:
    """Lead to the same, narrowed down to a name or a time."""
    if isinstance(value, str):
        path, by = _NAME_PAGES[grouping]
        return query.href(path, by=by, **{LABELS[grouping]: value})
    if grouping is Grouping.DAY and value:
        return query.href("/usage", since=day_text(value), until=day_text(value + DAY), by="hour,customer")
    if grouping is Grouping.HOUR and value:
        return query.href("/rollups", since=utc_text(value), until=utc_text(value + HOUR))
    return query.href("/usage", month=utc_text(value)[:7], by="day") if value else None


def day_text(moment: datetime) -> str:
    """Write the day of UTC that an aware moment is in."""
    return value_text(moment.astimezone(UTC))[:10]
