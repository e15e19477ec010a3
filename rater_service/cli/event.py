"""`phoebe event`: what became of one request, from its id to its money."""

import asyncio
from typing import Annotated
from uuid import UUID

import typer

from rater_service.bills.event import EventAccount, NoSuchEventError, Standing, account_for
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir
from rater_service.cli.reading import Databases, ReadDatabaseUrl, read_bills
from rater_service.database.freshness import Freshness
from rater_service.database.source import Source
from rater_service.errors import NeedsAttention
from rater_service.views.documents import write_json
from rater_service.views.events import EVENT, account_json, show_account
from rater_service.views.freshness import read_from_json, show_freshness
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
    read_database_url: ReadDatabaseUrl = None,
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
        databases = Databases(database_url, read_database_url, data)
        account, freshness = asyncio.run(_read(request_id, databases))
    if as_json:
        write_json(EVENT, {**account_json(account), **read_from_json(freshness)})
    else:
        show_freshness(freshness)
        show_account(account)
    if account.standing is Standing.NOT_BILLED:
        raise NotBilledEvent


async def _read(request_id: UUID, databases: Databases) -> tuple[EventAccount, Freshness | None]:
    async def read(source: Source) -> EventAccount:
        try:
            return await account_for(source.pool, request_id)
        except NoSuchEventError as error:
            if source.freshness is None:
                raise
            raise NoSuchEventError(f"{error} ({source.freshness.in_words()})") from error

    return await read_bills(databases, read)
