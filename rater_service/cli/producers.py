"""`phoebe producers`: which addons report, and which of them will never come back."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.plugins import WholeLines
from rater_service.errors import OperatorError
from rater_service.events.producers import Producer, list_producers, retire_producer
from rater_service.process_owner import user_name
from rater_service.views.documents import write_json
from rater_service.views.producers import PRODUCERS, RETIRED, producer_json, show_producers
from rater_service.views.terminal import write

app = typer.Typer(
    cls=WholeLines, help="See the producers of events, the spools of addons.", no_args_is_help=True
)


@app.callback()
def producers() -> None:
    """See the producers of events, the spools of addons."""


@app.command(name="list")
def show(database_url: DatabaseUrl = None, data: DataDir = DATA_DIR_DEFAULT, as_json: AsJson = False) -> None:
    """List the producers with what they said last, those furthest behind first.

    "complete until": every event of the producer before this is stored, by the producer's own clock.
    Senders that give no status are not listed.

    Exit codes: 0 done; 1 failure.
    """
    found = asyncio.run(_list(database_url, data))
    if as_json:
        write_json(PRODUCERS, {"producers": [producer_json(producer) for producer in found]})
    else:
        show_producers(found)


async def _list(database_url: str | None, data_dir: Path) -> list[Producer]:
    async with open_store(database_url, data_dir, writes=False) as pool:
        return await list_producers(pool)


@app.command()
def retire(
    producer_id: Annotated[str, typer.Argument(metavar="ID", help="The producer, as `list` shows it.")],
    by: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Who says so. Default: the user.")
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say that a producer will never come back, because its spool is gone: hours no longer wait for it.

    What it still had is lost; `phoebe audit` goes on saying how much that is. Who said so and when is kept. A
    producer that reports again is no longer retired.

    Exit codes: 0 done; 1 failure, also a producer that is not known.
    """
    retired_by = by or user_name()
    if not asyncio.run(_retire(producer_id, retired_by, database_url, data)):
        raise OperatorError(f"there is no producer {producer_id!r}; see `phoebe producers list`")
    if as_json:
        write_json(RETIRED, {"producer_id": producer_id, "retired_by": retired_by})
    else:
        write(f"retired {producer_id}")


async def _retire(producer_id: str, by: str, database_url: str | None, data_dir: Path) -> bool:
    async with open_store(database_url, data_dir, writes=True) as pool:
        return await retire_producer(pool, producer_id, by, datetime.now(UTC))
