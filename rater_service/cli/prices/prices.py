"""`phoebe prices`: looks at price files and at what they mean."""

import typer

from rater_service.cli.plugins import WholeLines
from rater_service.cli.prices.check import check
from rater_service.cli.prices.coverage import coverage
from rater_service.cli.prices.diff import diff
from rater_service.cli.prices.kept import list_prices, show_prices
from rater_service.cli.prices.withdraw import withdraw

app = typer.Typer(cls=WholeLines, help="Look at price files and at what they mean.", no_args_is_help=True)


@app.callback()
def prices() -> None:
    """Look at price files and at what they mean."""


app.command()(check)
app.command()(diff)
app.command()(coverage)
app.command(name="list")(list_prices)
app.command(name="show")(show_prices)
app.command()(withdraw)
