"""`phoebe event`: what became of one request, from its id to its money."""

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from rater_service.bills.event import EventAccount, Standing, account_for
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.period import explained_read_errors
from rater_service.errors import NeedsAttention
from rater_service.views.documents import write_json
from rater_service.views.events import EVENT, account_json, show_account
from rater_service.views.terminal import progress


class NotBilledEvent(NeedsAttention):
    """The event is on no bill and should perhaps be."""


def event(
    request_id: Annotated[
        UUID,
        typer.Argument(
            metavar="REQUEST_ID", help="The id that the answer has as X-Request-Id, and the engine's log."
        ),
    ],
    *,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say what became of one request: its event, its rollup, its price, and what it is charged.

    Where no run has rated it yet, what it would be charged at the price in force. The lines of the price file
    by which it is priced are shown. The amounts of all events of a rollup add up to the rollup's cost.

    Exit codes: 0 it is billed, rightly free, or waits for its run; 1 there is no such event, or another
    failure; 2 it is not billed, for a reason that needs a human.
    """
    with progress("reading"):
        account = asyncio.run(_read(request_id, database_url, data))
    if as_json:
        write_json(EVENT, account_json(account))
    else:
        show_account(account)
    if account.standing is Standing.NOT_BILLED:
        raise NotBilledEvent


async def _read(request_id: UUID, database_url: str | None, data_dir: Path) -> EventAccount:
    async with open_store(database_url, data_dir, writes=False) as pool:
        with explained_read_errors():
            return await account_for(pool, request_id)
