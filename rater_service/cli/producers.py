"""`phoebe producers`: which addons report, and which of them will never come back."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store, user_name
from rater_service.cli.terminal import write, write_json, write_table
from rater_service.errors import OperatorError
from rater_service.events.producers import Producer, list_producers, retire_producer
from rater_service.hours import utc_text

app = typer.Typer(help="See the producers of events, the spools of addons.", no_args_is_help=True)


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
        write_json([asdict(producer) | {"state": _state(producer)} for producer in found])
        return
    write_table(
        f"{len(found)} producers",
        (
            "producer_id",
            "state",
            "last seen",
            "complete until",
            "last number",
            "spooled",
            "open",
            "lost rows",
        ),
        (_row(producer) for producer in found),
    )


async def _list(database_url: str | None, data_dir: Path) -> list[Producer]:
    async with open_store(database_url, data_dir) as pool:
        return await list_producers(pool)


def _row(producer: Producer) -> tuple[str | int | None, ...]:
    until = producer.complete_until
    return (
        producer.producer_id,
        _state(producer),
        utc_text(producer.last_seen),
        None if until is None else utc_text(until),
        producer.last_seq,
        producer.spooled_events,
        producer.open_exchanges,
        producer.lost_rows,
    )


def _state(producer: Producer) -> str:
    if producer.retired:
        return "retired"
    return "stopped" if producer.stopped else "running"


@app.command()
def retire(
    producer_id: Annotated[str, typer.Argument(metavar="ID", help="The producer, as `list` shows it.")],
    by: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Who says so. Default: the user.")
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Say that a producer will never come back, because its spool is gone: hours no longer wait for it.

    What it still had is lost; `phoebe audit` goes on saying how much that is. Who said so and when is kept. A
    producer that reports again is no longer retired.

    Exit codes: 0 done; 1 failure, also a producer that is not known.
    """
    if not asyncio.run(_retire(producer_id, by or user_name(), database_url, data)):
        raise OperatorError(f"there is no producer {producer_id!r}; see `phoebe producers list`")
    write(f"retired {producer_id}")


async def _retire(producer_id: str, by: str, database_url: str | None, data_dir: Path) -> bool:
    async with open_store(database_url, data_dir) as pool:
        return await retire_producer(pool, producer_id, by, datetime.now(UTC))
