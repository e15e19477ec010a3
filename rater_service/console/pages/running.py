"""What runs and what is amiss: the running hour, problems, producers, and the rating runs."""

from datetime import timedelta

from phoebe_runtime.counts import counted
from rater_service.bills.estimate import EstimatedPart, estimate, estimate_by_key
from rater_service.bills.rollups import Selection, reading
from rater_service.bills.runs import (
    KeptRun,
    NoSuchRunError,
    kept_run,
    list_runs,
    over_runs,
    read_run,
    read_run_changes,
)
from rater_service.console.query import BadParameterError, link, read_number
from rater_service.console.tables import AllRows, Cell, Column, Kind, Row, Table, row
from rater_service.console.view import NotFoundError, Page, View
from rater_service.database.database import Connection
from rater_service.events.producers import list_producers
from rater_service.hours import HOUR, hour_of, utc_text
from rater_service.rating.advice import reason_text
from rater_service.rating.not_billed import read_not_billed
from rater_service.rating.run import Anomaly, Offender
from rater_service.views.kept_runs import conservation_text, how_text
from rater_service.views.producers import producer_state, standing_text

_ID_MAX = 2**63 - 1
# Of a longer window too many sums would have to be compared with rollups.
_LIVE_MAX = timedelta(hours=3)
_RUNS_MAX = 50


async def now(view: View) -> Page:
    """What goes on in the running hour?"""
    hour = hour_of(view.now)
    query = view.query
    selection = Selection(hour, hour + HOUR, query.customer, query.resource, query.model)
    async with reading(view.pool) as connection:
        running = await estimate(connection, selection, view.now)
        largest, left_out = await estimate_by_key(connection, selection, running, view.rows_max)
        rated = (await view.sums.add_up(connection, selection, [])).total
    parts = running.parts
    table = Table(
        name="running",
        caption=f"Usage of the running hour, {utc_text(hour)}: not rated, an estimate at the prices in force",
        columns=(
            Column("auth_id", "customer", Kind.NAME),
            Column("resource_id", "resource", Kind.NAME),
            Column("model_id", "model", Kind.NAME),
            Column("events", "events", Kind.COUNT),
            Column("estimate", "estimate, USD", Kind.MONEY),
            Column("prompt_tokens", "prompt tokens", Kind.COUNT),
            Column("cached_tokens", "of these cached", Kind.COUNT),
            Column("completion_tokens", "completion tokens", Kind.COUNT),
        ),
        rows=[_part_row(view, one) for one in largest],
        total=row(
            "all",
            None,
            None,
            running.events,
            running.cost,
            sum(one.prompt_tokens for one in parts),
            sum(one.cached_tokens for one in parts),
            sum(one.completion_tokens for one in parts),
        ),
        empty="No usage so far that could be billed.",
        note=f"The download has {counted(left_out, 'more row')}."
        if left_out
        else "An empty estimate: there is no price.",
        is_cut=bool(left_out),
        of_estimates=True,
    )
    return Page(
        title="Now",
        template="now.html",
        tables=(table,),
        shown={"hour": hour, "running": running, "rated": rated},
    )


def _part_row(view: View, one: EstimatedPart) -> Row:
    return row(
        Cell(one.auth_id, view.query.href("/bill", customer=one.auth_id)),
        one.resource_id,
        one.model_id,
        one.events,
        one.cost,
        one.prompt_tokens,
        one.cached_tokens,
        one.completion_tokens,
    )


async def problems(view: View) -> Page:
    """What is not billed, and what is to be done?"""
    query = view.query
    last = await list_runs(view.pool, _RUNS_MAX, dry_runs=False)
    async with reading(view.pool) as connection:
        unrated = await estimate(connection, query.selection, view.now)
        tables = [_last_run(last.runs[0] if last.runs else None)]
        if query.end - query.start <= _LIVE_MAX:
            names = {"auth_id": query.customer, "resource_id": query.resource, "model_id": query.model}
            late = frozenset(one.hour for one in (*unrated.unrated, *unrated.late))
            end = min(query.end, hour_of(view.now))
            found = (
                await read_not_billed(connection, query.start, end, late, names) if query.start < end else ()
            )
            tables.append(
                Table(
                    name="not_billed",
                    caption="What of the complete hours of the window is on no bill, by reason",
                    columns=(
                        Column("reason", "reason", Kind.WORDS),
                        Column("events", "events", Kind.COUNT),
                        Column("tokens", "tokens", Kind.COUNT),
                        Column("money_at_risk", "USD at risk, where a price can be assumed", Kind.MONEY),
                    ),
                    rows=[
                        row(_in_words(one.reason), one.events, one.tokens, one.money_at_risk) for one in found
                    ],
                    empty="All that can be billed is billed.",
                )
            )
    earlier = [
        row(
            Cell(run.id, f"/run?id={run.id}"),
            run.finished_at,
            f"{utc_text(run.window_start)} to {utc_text(run.window_end)}",
            _reasons(run),
        )
        for run in last.runs[1:]
        if run.anomalies
    ]
    tables.append(
        Table(
            name="earlier",
            caption=f"Earlier runs that found something, of the last {_RUNS_MAX}",
            columns=(
                Column("run", "run", Kind.ID),
                Column("finished_at", "finished", Kind.TIME),
                Column("window", "hours"),
                Column("reasons", "reasons", Kind.WORDS),
            ),
            rows=earlier,
            empty="None.",
            note="Windows of runs overlap: the same events may be in several of them.",
        )
    )
    live = query.end - query.start <= _LIVE_MAX
    return Page(
        "Problems",
        tuple(tables),
        "problems.html",
        {"unrated": unrated, "live_numbers": live},
    )


def _last_run(run: KeptRun | None) -> Table:
    rows = [] if run is None else [_anomaly_row(anomaly) for anomaly in run.anomalies]
    return Table(
        name="last_run",
        caption="No run yet"
        if run is None
        else f"What run {run.id} found, finished {utc_text(run.finished_at.replace(microsecond=0))}",
        columns=(
            Column("reason", "reason", Kind.WORDS),
            Column("advice", "what to do", Kind.CODE),
            Column("events", "events", Kind.COUNT),
            Column("tokens", "tokens", Kind.COUNT),
            Column("money_at_risk", "USD at risk", Kind.MONEY),
            Column("when", "hours", Kind.WORDS),
            Column("most", "most of all", Kind.WORDS),
        ),
        rows=rows,
        empty="Rate first: `phoebe rate`" if run is None else "Nothing needs a human.",
        note="Empty: nobody knows how much it is." if rows else None,
    )


def _anomaly_row(anomaly: Anomaly) -> Row:
    most = _offender_cell(anomaly.offenders[0]) if anomaly.offenders else None
    return row(
        _in_words(anomaly.reason),
        anomaly.advice,
        anomaly.events,
        anomaly.tokens,
        anomaly.money_at_risk,
        anomaly.when(),
        most,
    )


def _in_words(reason: str) -> Cell:
    """A reason: its name in downloads, in words on the page."""
    return Cell(reason, shown=reason_text(reason))


def _offender_cell(offender: Offender) -> Cell:
    """Whose events, by the names of fields in downloads, and as pages call them."""
    names = {
        "customer": offender.auth_id,
        "resource": offender.resource_id,
        "model": offender.model_id,
        "base model": offender.base_model,
    }
    said = ", ".join(f"{name} {value}" for name, value in names.items() if value is not None)
    detail = "" if offender.detail is None else f" ({offender.detail})"
    return Cell(
        offender.in_words(), shown=f"{said or 'without a name'}{detail}: {counted(offender.events, 'event')}"
    )


async def producers(view: View) -> Page:
    """Has everything arrived?"""
    found = await list_producers(view.pool)
    rows = [
        row(
            one.name,
            one.producer_id,
            standing_text(one, view.now),
            one.version or "unknown",
            one.last_seen,
            one.complete_until,
            one.spooled_events,
            one.open_exchanges,
            one.last_seq,
            one.lost_rows,
            None if one.clock_skew is None else f"{one.clock_skew.total_seconds():+.1f}",
            one.retired_by if one.retired else None,
        )
        for one in found[: view.rows_max]
    ]
    left_out = len(found) - len(rows)
    running = [one for one in found if producer_state(one) == "running"]
    until = [one.complete_until for one in running]
    complete = None if None in until or not until else min(one for one in until if one is not None)
    table = Table(
        name="producers",
        caption="Producers, the spools of proxies; those furthest behind first",
        columns=(
            Column("name", "proxy", Kind.NAME),
            Column("producer_id", "producer", Kind.ID),
            Column("state", "state", Kind.WORDS),
            Column("version", "version"),
            Column("last_seen", "last word", Kind.TIME),
            Column("complete_until", "complete until", Kind.TIME),
            Column("spooled_events", "not sent yet", Kind.COUNT),
            Column("open_exchanges", "under way", Kind.COUNT),
            Column("last_seq", "last number", Kind.COUNT),
            Column("lost_rows", "lost rows", Kind.COUNT),
            Column("clock_skew", "clock, s", Kind.COUNT),
            Column("retired_by", "retired by", Kind.NAME),
        ),
        rows=rows,
        empty="No proxy has reported yet: set phoebe_rater of a proxy to this rater.",
        note="Complete until: all events before this are here, by the producer's own clock."
        + (f" The download has {counted(left_out, 'more producer')}." if left_out else ""),
        is_cut=bool(left_out),
    )
    return Page(
        "Producers",
        (table,),
        "producers.html",
        {
            "complete": complete,
            "running": len(running),
            "silent": sum(one.silent_for(view.now) is not None for one in running),
            "unsent": sum(one.spooled_events for one in running),
            "lost": sum(one.lost_rows for one in found),
        },
    )


async def runs(view: View) -> Page:
    """Who rated what, and when?"""
    before = read_number(view.parameters, "before", _ID_MAX)
    page = await list_runs(view.pool, _RUNS_MAX, before=before)

    async def all_rows(_connection: Connection) -> AllRows:
        return AllRows(over_runs(None), lambda record: _run_row(kept_run(record)))

    table = Table(
        name="runs",
        caption="Runs, the last one first",
        columns=(
            Column("run", "run", Kind.ID),
            Column("finished_at", "finished", Kind.TIME),
            Column("window_start", "from", Kind.TIME),
            Column("window_end", "until", Kind.TIME),
            Column("how", "how"),
            Column("requested_by", "asked for by", Kind.NAME),
            Column("events", "events", Kind.COUNT),
            Column("rollups_written", "rollups written", Kind.COUNT),
            Column("rollups_deleted", "deleted", Kind.COUNT),
            Column("total_cost", "total after it, USD", Kind.MONEY),
            Column("anomalies", "found", Kind.WORDS),
        ),
        rows=[_run_row(one) for one in page.runs],
        more=link("/runs", {"before": page.runs[-1].id}) if page.has_more else None,
        is_cut=page.has_more,
        empty="No run yet: `phoebe rate`",
        source=all_rows,
    )
    return Page("Runs", (table,))


def _run_row(run: KeptRun) -> Row:
    return row(
        Cell(run.id, f"/run?id={run.id}"),
        run.finished_at,
        run.window_start,
        run.window_end,
        how_text(run),
        run.requested_by,
        run.events_in_window,
        run.rollups_written,
        run.reconciled_deletions,
        run.total_cost,
        _reasons(run) if run.anomalies else None,
    )


def _reasons(run: KeptRun) -> Cell:
    """All reasons of a run: codes in downloads, words on the page."""
    reasons = [anomaly.reason for anomaly in run.anomalies]
    return Cell(", ".join(reasons), shown="; ".join(map(reason_text, reasons)))


async def run(view: View) -> Page:
    """What did one run find and change?"""
    number = read_number(view.parameters, "id", _ID_MAX)
    if number is None:
        raise BadParameterError("id", "is required: the number of a run")
    try:
        kept = await read_run(view.pool, number)
    except NoSuchRunError as error:
        raise NotFoundError(str(error)) from error
    async with reading(view.pool) as connection:
        changes = await read_run_changes(connection, kept, view.rows_max)
    window = {"from": utc_text(kept.window_start), "until": utc_text(kept.window_end)}
    rows = [
        row(
            Cell(one.auth_id, link("/bill", {**window, "customer": one.auth_id})),
            one.rollups_inserted,
            one.rollups_updated,
            one.rollups_deleted,
            one.cost_before,
            one.cost_after,
            one.difference,
        )
        for one in changes.by_auth
    ]
    total = changes.total
    left_out = changes.auth_ids - len(rows)
    table = Table(
        name="changes",
        caption="Bills that it changed, those that changed most first: USD of the changed rollups",
        columns=(
            Column("auth_id", "customer", Kind.NAME),
            Column("inserted", "inserted", Kind.COUNT),
            Column("updated", "changed", Kind.COUNT),
            Column("deleted", "deleted", Kind.COUNT),
            Column("cost_before", "USD before", Kind.MONEY),
            Column("cost_after", "USD after", Kind.MONEY),
            Column("difference", "difference, USD", Kind.MONEY),
        ),
        rows=rows,
        total=row(
            f"all {changes.auth_ids}",
            total.rollups_inserted,
            total.rollups_updated,
            total.rollups_deleted,
            total.cost_before,
            total.cost_after,
            total.difference,
        ),
        empty="It changed no bill.",
        note=f"The download has {counted(left_out, 'more customer')}." if left_out else None,
        is_cut=bool(left_out),
    )
    return Page(
        f"Run {kept.id}",
        (_last_run(kept), table),
        "run.html",
        {
            "run": kept,
            "how": how_text(kept),
            "conservation": conservation_text(kept),
            "rollups_href": link("/rollups", window),
        },
    )
