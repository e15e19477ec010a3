"""`phoebe prices withdraw`: takes back a loading of a price file before anything was billed by it."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.books import find_loading
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.database.database import OPERATOR_ERRORS
from rater_service.errors import OperatorError
from rater_service.prices.store import read_timeline
from rater_service.process_owner import process_owner
from rater_service.rating.withdrawal import Withdrawal, withdraw_loading
from rater_service.views.documents import write_json
from rater_service.views.price_loadings import WITHDRAWAL, show_withdrawal, withdrawal_json
from rater_service.views.terminal import progress


def withdraw(
    loading: Annotated[
        str | None,
        typer.Argument(
            metavar="LOADING",
            show_default=False,
            help="Its number, or the first characters of the hash of its book, as `phoebe prices list` has "
            "them. Without it the loading that is to come.",
        ),
    ] = None,
    *,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default=False, help="Who does it, for the record. Default: cli:USER@HOST."
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Take back a loading by which no hour was priced, and say what is in force then.

    What the loading had replaced before its hour came stays replaced: load that file again if it shall hold.
    A service whose file was withdrawn does not load it again until the file changes. Runs under way are
    waited for.

    Exit codes: 0 it is withdrawn; 1 it is not, because an hour was priced by it, or another failure.
    """
    with progress("waiting for runs under way"):
        withdrawal = asyncio.run(_withdraw(loading, by or f"cli:{process_owner()}", database_url, data))
    if as_json:
        write_json(WITHDRAWAL, withdrawal_json(withdrawal))
    else:
        show_withdrawal(withdrawal)


async def _withdraw(name: str | None, by: str, database_url: str | None, data_dir: Path) -> Withdrawal:
    async with open_store(database_url, data_dir, writes=True) as pool:
        try:
            number = None
            if name is not None:
                async with pool.acquire() as connection:
                    number = find_loading(await read_timeline(connection), name)
            return await withdraw_loading(pool, number, by)
        except OPERATOR_ERRORS as error:
            raise OperatorError(f"nothing was withdrawn: {str(error) or type(error).__name__}") from error
