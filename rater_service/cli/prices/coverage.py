"""`phoebe prices coverage`: which models a live model server serves that have no price."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.books import history_of_file, stored_history
from rater_service.cli.engine import CaFile, Headers
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, moment_option
from rater_service.cli.request_headers import HeaderError, read_headers
from rater_service.cli.terminal import progress, write, write_json, write_table
from rater_service.errors import NeedsAttention
from rater_service.prices.history import PriceHistory, Quote
from rater_service.prices.resolution import NoPrice


@dataclass(frozen=True, slots=True)
class _Coverage:
    model_id: str
    parent: str | None
    found: Quote | NoPrice


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
        _Coverage(model.model_id, model.parent, history.resolve(model.model_id, model.parent, moment))
        for model in served
    ]
    unpriced = [each for each in covered if isinstance(each.found, NoPrice)]
    if as_json:
        write_json([_as_json(each) for each in covered])
    else:
        write_table(
            f"models of {url}: USD per token, as billed",
            ("model", "prompt", "cached", "completion", "from"),
            (_row(each) for each in covered),
        )
        write(f"{len(covered)} models served, {len(unpriced)} without a price")
    if unpriced:
        raise NeedsAttention


def _history(prices: Path | None, moment: datetime, database_url: str | None, data_dir: Path) -> PriceHistory:
    if prices is not None:
        return history_of_file(prices, moment)
    with progress("reading the price books"):
        return asyncio.run(stored_history(moment, database_url, data_dir))


def _row(each: _Coverage) -> tuple[str | Decimal | None, ...]:
    if isinstance(each.found, NoPrice):
        return each.model_id, None, None, None, f"NO PRICE: {each.found.reason.explain(each.model_id)}"
    price = each.found.price
    origin = price.derived_from or price.source.replace("_", " ").lower()
    return each.model_id, *price.billed.by_component().values(), origin


def _as_json(each: _Coverage) -> dict[str, object]:
    if isinstance(each.found, NoPrice):
        return {
            "model_id": each.model_id,
            "parent": each.parent,
            "priced": False,
            "reason": each.found.reason,
            "message": each.found.reason.explain(each.model_id),
        }
    price = each.found.price
    return {
        "model_id": each.model_id,
        "parent": each.parent,
        "priced": True,
        "prompt_rate": price.billed.prompt,
        "cached_rate": price.billed.cached,
        "completion_rate": price.billed.completion,
        "source": price.source,
        "derived_from": price.derived_from,
        "price_book": each.found.book.content_hash,
    }
