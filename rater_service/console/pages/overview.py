"""The overview: how much is it, is it normal, is anything wrong?"""

from phoebe_runtime.counts import counted
from rater_service.bills.estimate import HOURS_MAX, estimate
from rater_service.bills.report import Grouping
from rater_service.bills.rollups import reading
from rater_service.bills.runs import KeptRun, list_runs
from rater_service.bills.sums import AddedUp, Order
from rater_service.console.pages.bill_tables import (
    LABELS,
    SHARE,
    SUMS,
    all_sums,
    name_column,
    rows_of,
    total_row,
)
from rater_service.console.pages.days import change_text, day_chart, days_table, sums_before
from rater_service.console.query import Query
from rater_service.console.tables import Table
from rater_service.console.view import Page, View
from rater_service.database.database import Connection
from rater_service.rating.advice import reason_text

_TOP = 10


async def overview(view: View) -> Page:
    """How much is it, is it normal, is anything wrong?"""
    query = view.query
    async with reading(view.pool) as connection:
        by_day = await view.sums.add_up(connection, query.selection, [Grouping.DAY])
        by_customer = await _first(view, connection, Grouping.CUSTOMER)
        by_model = await _first(view, connection, Grouping.MODEL)
        before = await sums_before(connection, view)
        unrated = await estimate(connection, query.selection, view.now)
    runs = await list_runs(view.pool, 1, dry_runs=False)
    total = by_day.total
    return Page(
        title="Overview",
        template="overview.html",
        tables=(
            days_table(query, by_day, unrated, view.now),
            _top_table("customers", Grouping.CUSTOMER, query, by_customer),
            _top_table("models", Grouping.MODEL, query, by_model),
        ),
        shown={
            "total": total,
            "before": before,
            "change": change_text(total.cost, before.cost),
            "unrated": unrated,
            "hours_estimated": HOURS_MAX,
            "run": runs.runs[0] if runs.runs else None,
            "run_words": _run_words(runs.runs[0]) if runs.runs else None,
            "chart": day_chart(query, by_day, unrated, view.now),
        },
    )


async def _first(view: View, connection: Connection, grouping: Grouping) -> AddedUp:
    return await view.sums.add_up(connection, view.query.selection, [grouping], Order.COST, _TOP)


def _top_table(name: str, grouping: Grouping, query: Query, added: AddedUp) -> Table:
    return Table(
        name=name,
        caption=f"By {LABELS[grouping]}, most first",
        columns=(name_column(grouping), *SUMS, SHARE),
        rows=rows_of(query, [grouping], added),
        total=total_row([grouping], added.total),
        more=query.href("/usage", by=str(grouping)),
        is_cut=bool(added.left_out),
        empty="Nothing was billed in this window.",
        source=all_sums(query, [grouping], Order.COST),
    )


def _run_words(run: KeptRun) -> str:
    if not run.anomalies:
        return "nothing needs a human"
    return ", ".join(
        f"{reason_text(anomaly.reason)}: {counted(anomaly.events, 'event')}" for anomaly in run.anomalies
    )
