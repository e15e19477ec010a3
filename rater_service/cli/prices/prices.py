"""`phoebe prices`: looks at price files and at what they mean."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import AsJson
from rater_service.cli.prices.coverage import coverage
from rater_service.cli.prices.diff import diff
from rater_service.cli.prices.kept import list_prices, show_prices
from rater_service.cli.prices.withdraw import withdraw
from rater_service.prices.file import PriceFileError, parse_price_file
from rater_service.prices.store import read_price_file
from rater_service.views.price_check import checked_json, show_checked
from rater_service.views.terminal import write_json

app = typer.Typer(help="Look at price files and at what they mean.", no_args_is_help=True)


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
        write_json(checked_json(file, loaded))
    else:
        show_checked(file, loaded)


app.command()(check)
app.command()(diff)
app.command()(coverage)
app.command(name="list")(list_prices)
app.command(name="show")(show_prices)
app.command()(withdraw)
