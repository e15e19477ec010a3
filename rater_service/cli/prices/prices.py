"""`phoebe prices`: looks at price files and at what they mean."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import AsJson
from rater_service.cli.prices.coverage import coverage
from rater_service.cli.prices.diff import diff
from rater_service.cli.prices.kept import list_prices, show_prices
from rater_service.cli.terminal import complain, write, write_json, write_table
from rater_service.hours import utc_text
from rater_service.prices.file import LoadedPriceFile, PriceFileError, parse_price_file
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.resolution import Price, PriceSource, resolve
from rater_service.prices.store import read_price_file

app = typer.Typer(help="Look at price files and at what they mean.", no_args_is_help=True)

_SOURCES = {PriceSource.BASE_MODEL: "base model", PriceSource.OWN_RATE: "own rate"}


@app.callback()
def prices() -> None:
    """Look at price files and at what they mean."""


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The price file.")], as_json: AsJson = False
) -> None:
    """Check a price file as `phoebe serve` would, and show what each model would be billed at.

    Lists every fault with its line, and warns of rates that change by more than 0.1 % when they are rounded
    to 9 decimals. Needs no database. Rates are in USD per token.

    Exit codes: 0 the file is good, perhaps with warnings; 1 it has faults or can't be read.
    """
    content = read_price_file(file)
    try:
        loaded = parse_price_file(content, str(file))
    except PriceFileError as error:
        if not as_json:
            raise
        faults = [asdict(fault) for fault in error.faults]
        write_json({"file": str(file), "valid": False, "faults": faults, "warnings": []})
        raise typer.Exit(1) from error
    if as_json:
        write_json(_as_json(file, loaded))
    else:
        _show(file, loaded)


def _show(file: Path, loaded: LoadedPriceFile) -> None:
    for warning in loaded.warnings:
        complain(f"warning: {warning}")
    book = loaded.book
    write_table(
        f"{file}: USD per token, as billed",
        ("model", "prompt", "cached", "completion", "from"),
        ((name, *price.billed.by_component().values(), _origin(price)) for name, price in _prices(book)),
    )
    effective = (
        "the next hour after loading" if book.effective_from is None else utc_text(book.effective_from)
    )
    write(f"fine-tunes that are not listed: their base model and the premium, {book.premium.describe()}")
    write(f"in force from: {effective}")
    write(f"price book: {book.content_hash}")


def _prices(book: PriceBook) -> Iterator[tuple[str, Price]]:
    for name in (*book.base_models, *book.fine_tunes):
        price = resolve(book, name, base_model=None)
        assert isinstance(price, Price)  # a book prices everything it names
        yield name, price


def _origin(price: Price) -> str:
    if price.premium is None:
        return _SOURCES[price.source]
    return f"{price.derived_from}, {price.premium.describe()}"


def _as_json(file: Path, loaded: LoadedPriceFile) -> dict[str, object]:
    book = loaded.book
    return {
        "file": str(file),
        "valid": True,
        "faults": [],
        "warnings": [asdict(warning) for warning in loaded.warnings],
        "price_book": book.content_hash,
        "effective_from": book.effective_from,
        "premium": book.premium.describe(),
        "gpu_floor_rates": dict(book.gpu_floor_rates),
        "models": [
            {
                "model_id": name,
                "prompt_rate": price.billed.prompt,
                "cached_rate": price.billed.cached,
                "completion_rate": price.billed.completion,
                "source": price.source,
                "derived_from": price.derived_from,
            }
            for name, price in _prices(book)
        ],
    }


app.command()(check)
app.command()(diff)
app.command()(coverage)
app.command(name="list")(list_prices)
app.command(name="show")(show_prices)
