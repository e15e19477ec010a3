"""`phoebe prices coverage`: which models a live model server serves that have no price."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.books import history_of_file, stored_history
from rater_service.cli.engine import CaFile, Headers
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, moment_option
from rater_service.cli.request_headers import HeaderError, read_headers
from rater_service.errors import NeedsAttention
from rater_service.prices.history import PriceHistory
from rater_service.prices.resolution import NoPrice
from rater_service.views.documents import write_json
from rater_service.views.price_coverage import COVERAGE, Coverage, coverage_json, show_coverage
from rater_service.views.terminal import progress


def coverage(  # noqa: PLR0913 - one parameter per option
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The model server, as in `phoebe_upstream`: without /v1.")
    ],
    *,
    prices: Annotated[
        Path | None,
        typer.Option(
            "--prices",
            metavar="FILE",
            show_default=False,
            help="Look into this price file alone; no database is used.",
        ),
    ] = None,
    at: Annotated[datetime | None, moment_option("--at", "The moment to look at, UTC. Default: now.")] = None,
    header: Headers = None,
    ca_file: CaFile = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="How long an answer may take.")
    ] = 10.0,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Ask a model server which models it serves, and say which of them have a price.

    A fine-tune that the price file does not list has the price of its base model, which the edge states with
    every request; here the server's own word (`parent`) stands for it.

    Exit codes: 0 all have a price; 2 some have none; 1 the server or the prices can't be asked.
    """
    from rater_service.cli.prices.served_models import served_models  # noqa: PLC0415 - slow to import

    try:
        headers = read_headers(header or [])
    except HeaderError as error:
        raise typer.BadParameter(str(error), param_hint="--header") from None
    moment = at or datetime.now(UTC)
    with progress("asking which models are served"):
        served = served_models(url, headers, timeout, ca_file)
    history = _history(prices, moment, database_url, data)
    covered = [
        Coverage(model.model_id, model.parent, history.resolve(model.model_id, model.parent, moment))
        for model in served
    ]
    if as_json:
        write_json(COVERAGE, {"models": [coverage_json(each) for each in covered]})
    else:
        show_coverage(url, covered)
    if any(isinstance(each.found, NoPrice) for each in covered):
        raise NeedsAttention


def _history(prices: Path | None, moment: datetime, database_url: str | None, data_dir: Path) -> PriceHistory:
    if prices is not None:
        return history_of_file(prices)
    with progress("reading the price books"):
        return asyncio.run(stored_history(moment, database_url, data_dir))
