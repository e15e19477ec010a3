"""The tables of a page as files: which one, in which form, under which name."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from starlette.responses import Response

from rater_service.console.page_list import stem
from rater_service.console.query import BadParameterError, Query, link
from rater_service.console.table_forms import Csv, Form, Json
from rater_service.console.tables import Row, Table
from rater_service.console.view import ROWS_MAX, NotFoundError, Page
from rater_service.hours import utc_text


def download_links(base: str, table: Table, parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    """Give words and link of each form of a table. base: the path of its page."""
    told: dict[str, str | int | None] = {
        name: value for name, value in parameters.items() if name not in {"after", "before", "seen"}
    }
    told["table"] = table.name
    return [
        ("CSV", link(f"{stem(base)}.csv", told)),
        ("CSV for spreadsheets", link(f"{stem(base)}.csv", {**told, "spreadsheet": "1"})),
        ("JSON", link(f"{stem(base)}.json", told)),
    ]


def wanted_table(page: Page, parameters: Mapping[str, str]) -> Table:
    """Find the table of a page that is to be downloaded.

    Raises NotFoundError, and BadParameterError for a table with more rows than it may have.
    """
    wanted = parameters.get("table")
    table = next((one for one in page.tables if wanted in {None, "", one.name}), None)
    if table is None:
        raise NotFoundError(
            f"This page has no such table; it has {', '.join(one.name for one in page.tables)}."
        )
    if table.is_cut and table.source is None:
        # A part of the rows would look like all of them.
        raise BadParameterError(
            "table",
            f"{table.name} has more than {ROWS_MAX:,} rows: choose a shorter window, or phoebe export",
        )
    return table


def form_of(table: Table, form: str, parameters: Mapping[str, str]) -> Form:
    """Give what writes a table. form: csv or json."""
    return Json(table) if form == "json" else Csv(table, bool(parameters.get("spreadsheet")))


def file_headers(table: Table, form: str, query: Query, now: datetime) -> dict[str, str]:
    """Give the headers that name the file."""
    window = f"{utc_text(query.start)}-{utc_text(query.end)}-at-{utc_text(now.replace(microsecond=0))}"
    # Without what file systems do not take.
    name = f"{table.name}-{window}.{form}".replace(":", "")
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def whole_file(form: Form, rows: Sequence[Row], total: Row | None, headers: Mapping[str, str]) -> Response:
    """Answer with rows that are all in memory."""
    text = form.head() + (form.rows(rows, first=True) if rows else "") + form.tail(total)
    return Response(text, headers=dict(headers), media_type=form.media_type)
