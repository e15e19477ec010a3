"""How much, and who made it: the overview, usage, and the bill of one customer."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rater_service.bills.estimate import HOURS_MAX, Estimate, estimate
from rater_service.bills.report import BY_EVENT, AddedUp, BillSums, Grouping, ReportRow, total_of
from rater_service.bills.rollups import Selection, reading
from rater_service.bills.runs import KeptRun, list_runs
from rater_service.console.charts import Chart, Value, bars
from rater_service.console.query import BadParameterError, Query
from rater_service.console.tables import Cell, Column, Kind, Table, row, value_text
from rater_service.console.view import Page, View
from rater_service.database.database import Connection
from rater_service.hours import HOUR, utc_text
from rater_service.money import decimal_text, exact_sum
from rater_service.rating.day_sums import DAY, day_of

_TOP = 10
_HOURLY_MAX = timedelta(days=2)
_LABELS = {
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
GROUPINGS = tuple(grouping for grouping in Grouping if grouping not in BY_EVENT)
_SUMS = (
    Column("rollups", "rollups", Kind.COUNT),
    Column("events", "events", Kind.COUNT),
    Column("prompt_tokens", "prompt tokens", Kind.COUNT),
    Column("cached_tokens", "of these cached", Kind.COUNT),
    Column("completion_tokens", "completion tokens", Kind.COUNT),
    Column("cost", "USD", Kind.MONEY),
)
_SHARE = Column("share", "share, %", Kind.COUNT)


async def overview(view: View) -> Page:
    """How much is it, is it normal, is anything wrong?"""
    query = view.query
    async with reading(view.pool) as connection:
        by_day = await view.sums.add_up(connection, query.selection, [Grouping.DAY])
        by_customer = await view.sums.add_up(connection, query.selection, [Grouping.CUSTOMER])
        by_model = await view.sums.add_up(connection, query.selection, [Grouping.MODEL])
        before = await _before(connection, view)
        unrated = await estimate(connection, query.selection, view.now)
    runs = await list_runs(view.pool, 1, dry_runs=False)
    total = by_day.total
    return Page(
        title="Overview",
        template="overview.html",
        tables=(
            _days(query, by_day, unrated, view.now),
            _top("customers", Grouping.CUSTOMER, view, by_customer),
            _top("models", Grouping.MODEL, view, by_model),
        ),
        shown={
            "total": total,
            "before": before,
            "change": _change(total.cost, before.cost),
            "unrated": unrated,
            "hours_estimated": HOURS_MAX,
            "run": runs.runs[0] if runs.runs else None,
            "run_words": _run_words(runs.runs[0]) if runs.runs else None,
            "chart": _day_chart(query, by_day, unrated, view.now),
        },
    )


async def usage(view: View) -> Page:
    """Who or what made it?"""
    query = view.query
    by = _groupings(view)
    if Grouping.HOUR in by and not _may_be_by_hour(query):
        raise BadParameterError(
            "by", "hour needs a window of at most two days, or a customer, resource or model"
        )
    async with reading(view.pool) as connection:
        added = await view.sums.add_up(connection, query.selection, by)
        unrated = await estimate(connection, query.selection, view.now)
    order = view.parameters.get("order", "cost")
    rows = _in_order(added.rows, order)
    cut = rows[: view.rows_max]
    left_out = rows[view.rows_max :]
    cells = [_sum_row(query, one, added.total.cost) for one in cut]
    if left_out:
        cells.append(_others(by, left_out, added.total.cost))
    table = Table(
        name="usage",
        caption=f"Usage by {', '.join(_LABELS[grouping] for grouping in by)}",
        columns=(*(_name_column(grouping) for grouping in by), *_SUMS, _SHARE),
        rows=cells,
        total=(Cell("total"), *(Cell(None) for _ in by[1:]), *_sum_cells(added.total), Cell("100")),
        empty="Nothing was billed in this window.",
        note=f"The download has all {len(rows)} rows." if left_out else None,
        is_cut=bool(left_out),
    )
    return Page(
        title=f"Usage by {', '.join(_LABELS[grouping] for grouping in by)}",
        template="usage.html",
        tables=(table,),
        shown={
            "by": [str(grouping) for grouping in by],
            "groupings": [
                (str(grouping), _LABELS[grouping])
                for grouping in GROUPINGS
                if grouping is not Grouping.HOUR or _may_be_by_hour(query)
            ],
            "order": order,
            "unrated": unrated,
            "chart": _usage_chart(query, by, added),
        },
    )


async def bill(view: View) -> Page:
    """What does this customer owe, and what for?"""
    query = view.query
    if query.customer is None:
        raise BadParameterError("customer", "is required: whose bill")
    async with reading(view.pool) as connection:
        lines = await view.sums.add_up(connection, query.selection, [Grouping.RESOURCE, Grouping.MODEL])
        by_day = await view.sums.add_up(connection, query.selection, [Grouping.DAY])
        before = await _before(connection, view)
        unrated = await estimate(connection, query.selection, view.now)
    columns = (_name_column(Grouping.RESOURCE), _name_column(Grouping.MODEL), *_SUMS)
    rows = [
        row(
            Cell(str(one.names[Grouping.RESOURCE])),
            Cell(str(one.names[Grouping.MODEL])),
            *_sum_cells(one.sums, _rollups_href(query, one)),
        )
        for one in lines.rows[: view.rows_max]
    ]
    left_out = lines.rows[view.rows_max :]
    if left_out:
        others = total_of([one.sums for one in left_out])
        rows.append(row(f"{len(left_out)} others", None, *_sum_cells(others)))
    table = Table(
        name="lines",
        caption="Lines of the bill, by resource and model",
        columns=columns,
        rows=rows,
        total=row("total", None, *_sum_cells(lines.total)),
        empty=f"Nothing was billed to {query.customer} in this window.",
        note="The number of rollups leads to them: hour by hour, with their rates.",
        is_cut=bool(left_out),
    )
    return Page(
        title=f"Bill of {query.customer}",
        template="bill.html",
        tables=(table, _days(query, by_day, unrated, view.now)),
        shown={
            "customer": query.customer,
            "total": lines.total,
            "before": before,
            "change": _change(lines.total.cost, before.cost),
            "unrated": unrated,
            "chart": _day_chart(query, by_day, unrated, view.now),
        },
    )


def _may_be_by_hour(query: Query) -> bool:
    """By hour the rollups themselves are read: of all customers not too many at once."""
    return bool(query.names) or query.end - query.start <= _HOURLY_MAX


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


def _in_order(rows: Sequence[ReportRow], order: str) -> list[ReportRow]:
    match order:
        case "cost":
            return sorted(rows, key=lambda one: one.sums.cost, reverse=True)
        case "events":
            return sorted(rows, key=lambda one: one.sums.events, reverse=True)
        case "name":
            return list(rows)
    raise BadParameterError("order", "must be cost, events or name")


def _name_column(grouping: Grouping) -> Column:
    names = {Grouping.CUSTOMER: "auth_id", Grouping.RESOURCE: "resource_id", Grouping.MODEL: "model_id"}
    return Column(
        names.get(grouping, str(grouping)), _LABELS[grouping], Kind.NAME if grouping in names else Kind.TEXT
    )


def _sum_row(query: Query, one: ReportRow, whole: Decimal) -> tuple[Cell, ...]:
    names = [
        Cell(_name(grouping, value), _narrowed(query, grouping, value))
        for grouping, value in one.names.items()
    ]
    return (*names, *_sum_cells(one.sums), Cell(_share(one.sums.cost, whole)))


def _sum_cells(sums: BillSums, rollups_href: str | None = None) -> tuple[Cell, ...]:
    return (
        Cell(sums.rollups, rollups_href),
        Cell(sums.events),
        Cell(sums.prompt_tokens),
        Cell(sums.cached_tokens),
        Cell(sums.completion_tokens),
        Cell(sums.cost),
    )


def _others(by: Sequence[Grouping], rows: Sequence[ReportRow], whole: Decimal) -> tuple[Cell, ...]:
    sums = total_of([one.sums for one in rows])
    names = [Cell(f"{len(rows)} others"), *(Cell(None) for _ in by[1:])]
    return (*names, *_sum_cells(sums), Cell(_share(sums.cost, whole)))


def _share(cost: Decimal, whole: Decimal) -> str:
    return f"{cost / whole * 100:.1f}" if whole else "0"


def _name(grouping: Grouping, value: str | datetime | None) -> str | None:
    if not isinstance(value, datetime):
        return value
    written = utc_text(value)
    return {Grouping.HOUR: written, Grouping.DAY: written[:10], Grouping.MONTH: written[:7]}[grouping]


def _narrowed(query: Query, grouping: Grouping, value: str | datetime | None) -> str | None:
    """Lead to the same, narrowed down to a name or a time."""
    if isinstance(value, str):
        path, by = _NAME_PAGES[grouping]
        return query.href(path, by=by, **{_LABELS[grouping]: value})
    if grouping is Grouping.DAY and value:
        return query.href("/usage", since=_day(value), until=_day(value + DAY), by="hour,customer")
    if grouping is Grouping.HOUR and value:
        return query.href("/rollups", since=utc_text(value), until=utc_text(value + HOUR))
    return query.href("/usage", month=utc_text(value)[:7], by="day") if value else None


def _rollups_href(query: Query, line: ReportRow) -> str:
    names = {"resource": line.names[Grouping.RESOURCE], "model": line.names[Grouping.MODEL]}
    return query.href("/rollups", **{name: str(value) for name, value in names.items()})


def _top(name: str, grouping: Grouping, view: View, added: AddedUp) -> Table:
    query, shown = view.query, view.rows_max if view.download else _TOP
    rows = _in_order(added.rows, "cost")
    cells = [_sum_row(query, one, added.total.cost) for one in rows[:shown]]
    if rows[shown:]:
        cells.append(_others([grouping], rows[shown:], added.total.cost))
    return Table(
        name=name,
        caption=f"By {_LABELS[grouping]}, most first",
        columns=(_name_column(grouping), *_SUMS, _SHARE),
        rows=cells,
        total=(Cell("total"), *_sum_cells(added.total), Cell("100")),
        more=query.href("/usage", by=str(grouping)),
        is_cut=len(rows) > shown,
        empty="Nothing was billed in this window.",
    )


def _days(query: Query, by_day: AddedUp, unrated: Estimate, now: datetime) -> Table:
    sums = {one.names[Grouping.DAY]: one.sums for one in by_day.rows}
    estimated = _estimated_days(unrated)
    nothing = BillSums(0, 0, 0, 0, 0, 0, Decimal(0))
    rows = []
    for day in _each_day(query, {*sums, *estimated}):
        of_day = sums.get(day, nothing)
        rows.append(
            row(
                Cell(
                    _day(day), query.href("/usage", since=_day(day), until=_day(day + DAY), by="hour,model")
                ),
                Cell(_state(day, unrated, now, rated=day in sums)),
                *_sum_cells(of_day),
                Cell(estimated.get(day)),
            )
        )
    return Table(
        name="days",
        caption="By day, UTC",
        columns=(
            Column("day", "day"),
            Column("state", "state"),
            *_SUMS,
            Column("estimate", "not rated, estimate, USD", Kind.MONEY),
        ),
        rows=rows,
        total=row("total", None, *_sum_cells(by_day.total), None),
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
        return f"{missing} hours to be rated" if rated else "not rated"
    return "rated" if rated else "no usage billed"


def _day_chart(query: Query, by_day: AddedUp, unrated: Estimate, now: datetime) -> Chart | None:
    sums = {one.names[Grouping.DAY]: one.sums.cost for one in by_day.rows}
    estimated = _estimated_days(unrated)
    values = []
    for day in _each_day(query, {*sums, *estimated}):
        cost, guess = sums.get(day, Decimal(0)), estimated.get(day, Decimal(0))
        more = f", and not rated, estimate, {decimal_text(guess)} USD" if guess else ""
        values.append(
            Value(
                label=_day(day)[5:],
                amount=cost,
                text=f"{_day(day)}: {decimal_text(cost)} USD{more}",
                href=query.href("/usage", since=_day(day), until=_day(day + DAY), by="hour,model"),
                estimate=guess,
                unfinished=day <= now < day + DAY,
            )
        )
    return bars("USD by day", values)


def _usage_chart(query: Query, by: Sequence[Grouping], added: AddedUp) -> Chart | None:
    """Draw what is grouped by one time; of names the table tells more."""
    if len(by) != 1 or by[0] not in {Grouping.DAY, Grouping.HOUR, Grouping.MONTH}:
        return None
    grouping = by[0]
    values = []
    for one in added.rows:
        written = _name(grouping, one.names[grouping]) or ""
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
                href=_narrowed(query, grouping, one.names[grouping]),
            )
        )
    return bars(f"USD by {_LABELS[grouping]}", values)


async def _before(connection: Connection, view: View) -> BillSums:
    """Add up the same span a month before: as many hours, from the same day of the month on."""
    query = view.query
    start = _month_before(query.start)
    span = query.end - query.start
    selection = Selection(start, min(start + span, query.start), query.customer, query.resource, query.model)
    return (await view.sums.add_up(connection, selection, [])).total


def _month_before(moment: datetime) -> datetime:
    last = moment.replace(day=1) - timedelta(days=1)
    return moment.replace(year=last.year, month=last.month, day=min(moment.day, last.day))


def _change(now: Decimal, before: Decimal) -> str | None:
    """Say by how much more or less it is than the same span before, in percent; None: there was nothing."""
    return f"{(now - before) / before * 100:+.1f} %" if before else None


def _day(moment: datetime) -> str:
    return value_text(moment.astimezone(UTC))[:10]


def _run_words(run: KeptRun) -> str:
    if not run.anomalies:
        return "nothing needs a human"
    return ", ".join(f"{anomaly.reason}: {anomaly.events} events" for anomaly in run.anomalies)
