"""The bill of one customer: what does it owe, and what for?"""

from phoebe_runtime.counts import counted
from rater_service.bills.estimate import estimate
from rater_service.bills.report import Grouping, ReportRow
from rater_service.bills.rollups import reading
from rater_service.bills.sums import Order, add_up, over_sums, row_of
from rater_service.console.pages.bill_tables import SUMS, name_column, sum_cells
from rater_service.console.pages.days import change_text, day_chart, days_table, sums_before
from rater_service.console.query import BadParameterError, Query
from rater_service.console.tables import AllRows, Row, Source, Table, row
from rater_service.console.view import ROWS_ON_PAGE, Page, View
from rater_service.database.database import Connection

_BY = (Grouping.RESOURCE, Grouping.MODEL)


async def bill(view: View) -> Page:
    """What does this customer owe, and what for?"""
    query = view.query
    if query.customer is None:
        raise BadParameterError("customer", "is required: whose bill")
    async with reading(view.pool) as connection:
        lines = await view.sums.add_up(connection, query.selection, _BY, Order.NAME, ROWS_ON_PAGE)
        by_day = await view.sums.add_up(connection, query.selection, [Grouping.DAY])
        before = await sums_before(connection, view)
        unrated = await estimate(connection, query.selection, view.now)
    columns = (*map(name_column, _BY), *SUMS)
    rows = [_line(query, one) for one in lines.rows]
    if lines.left_out:
        rows.append(row(counted(lines.left_out, "other"), None, *sum_cells(lines.others)))
    table = Table(
        name="lines",
        caption="Lines of the bill, by resource and model",
        columns=columns,
        rows=rows,
        total=row("total", None, *sum_cells(lines.total)),
        empty=f"Nothing was billed to {query.customer} in this window.",
        note="The number of rollups leads to them: hour by hour, with their rates.",
        is_cut=bool(lines.left_out),
        source=_all_lines(query),
    )
    return Page(
        title=f"Bill of {query.customer}",
        template="bill.html",
        tables=(table, days_table(query, by_day, unrated, view.now)),
        shown={
            "customer": query.customer,
            "total": lines.total,
            "before": before,
            "change": change_text(lines.total.cost, before.cost),
            "unrated": unrated,
            "chart": day_chart(query, by_day, unrated, view.now),
        },
    )


def _all_lines(query: Query) -> Source:
    async def all_rows(connection: Connection) -> AllRows:
        total = (await add_up(connection, query.selection, [])).total
        statement = await over_sums(connection, query.selection, _BY, Order.NAME, None)
        return AllRows(
            statement,
            lambda record: _line(query, row_of(record, _BY)),
            row("total", None, *sum_cells(total)),
        )

    return all_rows


def _line(query: Query, line: ReportRow) -> Row:
    resource, model = (str(line.names[grouping]) for grouping in _BY)
    rollups_href = query.href("/rollups", resource=resource, model=model)
    return row(resource, model, *sum_cells(line.sums, rollups_href))
