"""The tables of a page as files: the same rows, and all of them."""

from collections.abc import Mapping
from datetime import datetime

from starlette.responses import Response

from rater_service.console.page_list import stem
from rater_service.console.query import BadParameterError, Query, link
from rater_service.console.tables import Table, table_csv, table_json
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


def download(page: Page, form: str, parameters: Mapping[str, str], query: Query, now: datetime) -> Response:
    """Answer with a table of a page. form: csv or json.

    Raises NotFoundError, and BadParameterError for a table with more rows than downloads may have.
    """
    wanted = parameters.get("table")
    table = next((one for one in page.tables if wanted in {None, "", one.name}), None)
    if table is None:
        raise NotFoundError(
            f"This page has no such table; it has {', '.join(one.name for one in page.tables)}."
        )
    if table.is_cut:
        # A part of the rows would look like all of them.
        raise BadParameterError(
            "table",
            f"{table.name} has more than {ROWS_MAX:,} rows: choose a shorter window, or phoebe export",
        )
    window = f"{utc_text(query.start)}-{utc_text(query.end)}-at-{utc_text(now.replace(microsecond=0))}"
    # Without what file systems do not take.
    name = f"{table.name}-{window}.{form}".replace(":", "")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if form == "json":
        return Response(table_json(table) + "\n", media_type="application/json", headers=headers)
    text = table_csv(table, for_spreadsheets=bool(parameters.get("spreadsheet")))
    return Response(text, headers=headers, media_type="text/csv")
