"""`phoebe quote`: what a model costs, by the code that rates."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.books import history_of_file, stored_history
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, moment_option
from rater_service.errors import OperatorError
from rater_service.money import TOKENS_MAX, TokenCounts
from rater_service.prices.resolution import NoPrice
from rater_service.views.documents import write_json
from rater_service.views.quote import NO_PRICE, QUOTE, quote_json, show_quote
from rater_service.views.terminal import progress


def _tokens(flag: str, explanation: str) -> typer.models.OptionInfo:
    info = typer.Option(flag, min=0, max=TOKENS_MAX, metavar="N", show_default=False, help=explanation)
    assert isinstance(info, typer.models.OptionInfo)
    return info


def quote(  # noqa: PLR0913 - one parameter per option
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model, as its engine reports it.")],
    *,
    base_model: Annotated[
        str | None, typer.Option(metavar="M", show_default=False, help="What a fine-tune derives from.")
    ] = None,
    prompt: Annotated[int | None, _tokens("--prompt", "Prompt tokens, cached ones included.")] = None,
    cached: Annotated[int | None, _tokens("--cached", "The cached part of the prompt tokens.")] = None,
    completion: Annotated[int | None, _tokens("--completion", "Generated tokens.")] = None,
    at: Annotated[
        datetime | None, moment_option("--at", "The moment to quote for, UTC. Default: now.")
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            "--prices",
            metavar="FILE",
            show_default=False,
            help="Quote from this price file alone; no database is used.",
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say what a model costs, in USD per token, and where the price comes from.

    With token counts also what they would cost. Uses the price books that were loaded into the database, or
    one price FILE.

    Exit codes: 0 there is a price; 1 there is none (the reason is given), or something failed.
    """
    moment = at or datetime.now(UTC)
    if prices is not None:
        history = history_of_file(prices)
    else:
        with progress("reading the price books"):
            history = asyncio.run(stored_history(moment, database_url, data))
    found = history.resolve(model, base_model, moment)
    counts = _counts(prompt, cached, completion)
    if isinstance(found, NoPrice):
        message = found.reason.explain(model)
        if not as_json:
            raise OperatorError(f"no price ({found.reason}): {message}")
        write_json(
            NO_PRICE,
            {"model_id": model, "base_model": base_model, "reason": found.reason, "message": message},
        )
        raise typer.Exit(1)
    if as_json:
        write_json(QUOTE, quote_json(model, base_model, found, counts))
    else:
        show_quote(model, found, counts)


def _counts(prompt: int | None, cached: int | None, completion: int | None) -> TokenCounts | None:
    if prompt is None and cached is None and completion is None:
        return None
    return TokenCounts(prompt or 0, cached or 0, completion or 0)
