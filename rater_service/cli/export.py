"""`phoebe export`: rated usage as a file, for spreadsheets, warehouses and FinOps tools."""

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from phoebe_runtime.counts import counted
from rater_service.bills.export import Exported, Writer, export_rollups
from rater_service.bills.export_csv import CsvWriter
from rater_service.bills.export_file import standard_output, whole_file
from rater_service.bills.export_layout import RATED_USAGE, Layout
from rater_service.bills.focus import Parties, focus_layout
from rater_service.bills.holes import BillHasHoles
from rater_service.bills.rollups import Selection
from rater_service.cli.options import DATA_DIR_DEFAULT, DatabaseUrl, DataDir
from rater_service.cli.period import (
    AsOfMoment,
    Customer,
    Model,
    Resource,
    Since,
    Strict,
    Until,
    Window,
    read_period,
)
from rater_service.cli.reading import Databases, ReadDatabaseUrl, read_bills
from rater_service.database.freshness import Freshness
from rater_service.database.source import Source
from rater_service.distribution import how_to_install
from rater_service.errors import OperatorError
from rater_service.views.documents import write_json
from rater_service.views.exported import EXPORTED, exported_json
from rater_service.views.freshness import read_from_json
from rater_service.views.report import as_of_text, window_text
from rater_service.views.terminal import OnPart, complain, reported_progress

_STANDARD_OUTPUT = Path("-")

ExportAsJson = Annotated[bool, typer.Option("--json", help="Say as JSON on standard output what FILE has.")]


class _Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    FOCUS = "focus"
    FOCUS_PARQUET = "focus-parquet"


def _party(flag: str, variable: str, explanation: str) -> typer.models.OptionInfo:
    info = typer.Option(flag, envvar=variable, metavar="NAME", show_default=False, help=explanation)
    assert isinstance(info, typer.models.OptionInfo)
    return info


def export(  # noqa: PLR0913 - one parameter per option
    window: Window = None,
    *,
    form: Annotated[_Format, typer.Option("--format", help="What to write: see below.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")
    ] = _STANDARD_OUTPUT,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    since: Since = None,
    until: Until = None,
    auth: Customer = None,
    resource: Resource = None,
    model: Model = None,
    as_of: AsOfMoment = None,
    strict: Strict = False,
    provider: Annotated[
        str, _party("--provider", "PHOEBE_PROVIDER", "FOCUS: who sells the service. Default: Phoebe.")
    ] = "Phoebe",
    publisher: Annotated[
        str | None, _party("--publisher", "PHOEBE_PUBLISHER", "FOCUS: who makes it. Default: the provider.")
    ] = None,
    invoice_issuer: Annotated[
        str | None,
        _party(
            "--invoice-issuer",
            "PHOEBE_INVOICE_ISSUER",
            "FOCUS: who sends invoices. Default: the provider.",
        ),
    ] = None,
    service: Annotated[
        str, _party("--service", "PHOEBE_SERVICE", "FOCUS: its name. Default: LLM Inference.")
    ] = "LLM Inference",
    database_url: DatabaseUrl = None,
    read_database_url: ReadDatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: ExportAsJson = False,
) -> None:
    """Write rated usage to a file: exact, from one snapshot, complete or not at all.

    csv and parquet have one row for each rollup, with all its columns. focus is the billing format of the
    FinOps Foundation, FOCUS 1.2, as CSV, with one row for each kind of token of a rollup; focus-parquet is
    the same as Parquet. Parquet needs the extra `export`. Money and rates are decimals, in USD.

    Complete hours that no run has rated, or to which usage came since, are named on standard error, with the
    command that rates them.

    Exit codes: 0 done; 1 failure, no file was written or changed; 2 done, but hours are missing.
    """
    if as_json and output == _STANDARD_OUTPUT:
        raise typer.BadParameter("--json says what FILE has: give --output FILE")
    start, end = read_period(window, since, until, datetime.now(UTC))
    selection = Selection(start, end, auth or None, resource or None, model or None)
    layout = RATED_USAGE
    if form in (_Format.FOCUS, _Format.FOCUS_PARQUET):
        names = (provider, publisher or provider, invoice_issuer or provider, service)
        if not all(name.strip() for name in names):
            raise typer.BadParameter("the names for FOCUS must not be empty")
        layout = focus_layout(Parties(*names))
    wanted = _Wanted(selection, as_of, strict, layout, form, output, force)
    with reported_progress("exporting") as on_part:
        databases = Databases(database_url, read_database_url, data)
        exported, freshness = asyncio.run(_export(wanted, on_part, databases))
    if as_json:
        told = exported_json(str(output), form, selection, exported)
        write_json(EXPORTED, {**told, **read_from_json(freshness)})
    else:
        if freshness:
            complain(freshness.in_words())
        written = "" if output == _STANDARD_OUTPUT else f" written to {output}"
        complain(
            f"{window_text(selection)}{as_of_text(exported.as_of)}: "
            f"{counted(exported.rollups, 'rollup')}{written}"
        )
    if exported.holes.hours:
        complain(exported.holes.in_words())
        raise BillHasHoles


def _target(output: Path, overwrite: bool) -> AbstractContextManager[BinaryIO]:
    return standard_output() if output == _STANDARD_OUTPUT else whole_file(output, overwrite)


def _writer(form: _Format, file: BinaryIO, layout: Layout) -> Writer:
    if form in (_Format.CSV, _Format.FOCUS):
        return CsvWriter(file, layout.columns)
    try:
        from rater_service.bills.export_parquet import ParquetWriter  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise OperatorError(
            f"Parquet needs pyarrow, which is not installed: {how_to_install(['export'])}, "
            "or write --format csv"
        ) from None
    return ParquetWriter(file, layout.columns)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the options say."""

    selection: Selection
    as_of: datetime | None
    strict: bool
    layout: Layout
    form: _Format
    output: Path
    overwrite: bool


async def _export(
    wanted: _Wanted, on_part: OnPart, databases: Databases
) -> tuple[Exported, Freshness | None]:
    async def read(source: Source) -> Exported:
        # A file of its own each time, which gets its name when all is in it.
        with _target(wanted.output, wanted.overwrite) as file:
            return await export_rollups(
                source.pool,
                wanted.selection,
                wanted.as_of,
                wanted.layout,
                _writer(wanted.form, file, wanted.layout),
                now=source.now,
                strict=wanted.strict,
                on_count=lambda count: on_part(f"exporting, {counted(count, 'rollup')} done"),
            )

    # What went to standard output can't be taken back.
    return await read_bills(databases, read, once=wanted.output == _STANDARD_OUTPUT)
