"""Usage: who or what made it?"""

from collections.abc import Sequence
from datetime import timedelta

from rater_service.bills.estimate import estimate
from rater_service.bills.report import BY_EVENT, Grouping
from rater_service.bills.rollups import reading
from rater_service.bills.sums import AddedUp, Order
from rater_service.console.charts import Chart, Value, bars
from rater_service.console.pages.bill_tables import (
    LABELS,
    SHARE,
    SUMS,
    all_sums,
    name_column,
    name_text,
    narrowed_href,
    rows_of,
    total_row,
)
from rater_service.console.query import BadParameterError, Query
from rater_service.console.tables import Table
from rater_service.console.view import ROWS_ON_PAGE, Page, View
from rater_service.money import decimal_text

_HOURLY_MAX = timedelta(days=1)
_HOURLY_OF_CUSTOMER_MAX = timedelta(days=62)
_TIMES = frozenset({Grouping.MONTH, Grouping.DAY, Grouping.HOUR})
GROUPINGS = tuple(grouping for grouping in Grouping if grouping not in BY_EVENT)


async def usage(view: View) -> Page:
    """Who or what made it?"""
    query = view.query
    by = _groupings(view)
    if Grouping.HOUR in by and not _may_be_by_hour(query):
        raise BadParameterError(
            "by", "hour needs a window of at most a day, or a customer and at most 62 days"
        )
    order = _order(view)
    async with reading(view.pool) as connection:
        if _TIMES.issuperset(by):
            # There are few, and the chart has them all, in their own order.
            whole = await view.sums.add_up(connection, query.selection, by)
            added = _first(whole, order, ROWS_ON_PAGE)
        else:
            whole = added = await view.sums.add_up(connection, query.selection, by, order, ROWS_ON_PAGE)
        unrated = await estimate(connection, query.selection, view.now)
    words = ", ".join(LABELS[grouping] for grouping in by)
    table = Table(
        name="usage",
        caption=f"Usage by {words}",
        columns=(*(name_column(grouping) for grouping in by), *SUMS, SHARE),
        rows=rows_of(query, by, added),
        total=total_row(by, added.total),
        empty="Nothing was billed in this window.",
        note=f"The download has all {len(added.rows) + added.left_out} rows." if added.left_out else None,
        is_cut=bool(added.left_out),
        source=all_sums(query, by, order),
    )
    return Page(
        title=f"Usage by {words}",
        template="usage.html",
        tables=(table,),
        shown={
            "by": [str(grouping) for grouping in by],
            "groupings": [
                (str(grouping), LABELS[grouping])
                for grouping in GROUPINGS
                if grouping is not Grouping.HOUR or _may_be_by_hour(query)
            ],
            "order": str(order),
            "unrated": unrated,
            "chart": _usage_chart(query, by, whole),
        },
    )


def _may_be_by_hour(query: Query) -> bool:
    """By hour the rollups themselves are read: not too many at once."""
    longest = _HOURLY_MAX if query.customer is None else _HOURLY_OF_CUSTOMER_MAX
    return query.end - query.start <= longest


def _first(added: AddedUp, order: Order, limit: int) -> AddedUp:
    """Keep the first rows in an order."""
    rows = added.rows
    if order is not Order.NAME:
        rows = tuple(sorted(rows, key=lambda one: getattr(one.sums, order), reverse=True))
    return AddedUp(rows[:limit], added.total, len(rows[limit:]))


def _groupings(view: View) -> tuple[Grouping, ...]:
    written = [part for part in view.parameters.get("by", "customer").split(",") if part]
    try:
        found = tuple(dict.fromkeys(Grouping(part) for part in written))
    except ValueError:
        found = ()
    if not 1 <= len(found) <= 3 or not set(GROUPINGS).issuperset(found):
        raise BadParameterError(
            "by", f"must be one to three of {', '.join(GROUPINGS)}, with commas between them"
        )
    return found


def _order(view: View) -> Order:
    try:
        return Order(view.parameters.get("order") or Order.COST)
    except ValueError:
        raise BadParameterError("order", f"must be one of {', '.join(Order)}") from None


def _usage_chart(query: Query, by: Sequence[Grouping], added: AddedUp) -> Chart | None:
    """Draw what is grouped by one time; of names the table tells more."""
    if len(by) != 1 or by[0] not in {Grouping.DAY, Grouping.HOUR, Grouping.MONTH}:
        return None
    grouping = by[0]
    values = []
    for one in added.rows:
        written = name_text(grouping, one.names[grouping]) or ""
        label = (
            written[5:10]
            if grouping is Grouping.DAY
            else written[11:16]
            if grouping is Grouping.HOUR
            else written
        )
        values.append(
            Value(
                label=label,
                amount=one.sums.cost,
                text=f"{written}: {decimal_text(one.sums.cost)} USD",
                href=narrowed_href(query, grouping, one.names[grouping]),
            )
        )
    return bars(f"USD by {LABELS[grouping]}", values)
