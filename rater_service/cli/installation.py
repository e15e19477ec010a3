"""`phoebe installation`: which installation the database is, and making it another one."""

import asyncio
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.plugins import WholeLines
from rater_service.database.installation import Installation, read_installation, set_installation
from rater_service.hours import utc_text
from rater_service.process_owner import user_name
from rater_service.views.documents import write_json
from rater_service.views.installation import INSTALLATION, INSTALLATION_CHANGE
from rater_service.views.terminal import write

app = typer.Typer(
    cls=WholeLines,
    help="See or change which installation the database is: whose events it takes.",
    no_args_is_help=True,
)

By = Annotated[
    str | None, typer.Option(metavar="NAME", show_default=False, help="Who says so. Default: the user.")
]


@app.callback()
def installation() -> None:
    """See or change which installation the database is: whose events it takes."""


@app.command()
def show(database_url: DatabaseUrl = None, data: DataDir = DATA_DIR_DEFAULT, as_json: AsJson = False) -> None:
    """Show the id of the installation that the database is.

    Exit codes: 0 done; 1 failure.
    """
    found = asyncio.run(_read(database_url, data))
    if as_json:
        write_json(INSTALLATION, {"id": found.id, "since": found.since, "set_by": found.set_by})
        return
    said = f", set by {found.set_by}" if found.set_by else ""
    write(f"{found.id} (since {utc_text(found.since)}{said})")


@app.command(name="set")
def take_over(
    installation_id: Annotated[UUID, typer.Argument(metavar="ID", help="The installation to continue.")],
    by: By = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Make the database the one of an installation whose own database is gone: its spools deliver here then.

    What that database had is not here: `phoebe audit` names it as lost. Spools do not tell two databases with
    one id apart.

    Exit codes: 0 done; 1 failure.
    """
    _change(installation_id, by, database_url, data, as_json=as_json)


@app.command()
def renew(
    by: By = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Give the database a new id: for a copy of one that lives on, whose spools are refused here then.

    Exit codes: 0 done; 1 failure.
    """
    _change(None, by, database_url, data, as_json=as_json)


def _change(
    new: UUID | None, by: str | None, database_url: str | None, data_dir: Path, *, as_json: bool
) -> None:
    before, after = asyncio.run(_set(new, by or user_name(), database_url, data_dir))
    if as_json:
        write_json(INSTALLATION_CHANGE, {"before": before, "after": after})
        return
    write(f"the database was {f'the installation {before}' if before else 'none'}, and is {after} now")
    write("running services know it with the next connection of an addon, within 30 minutes")


async def _read(database_url: str | None, data_dir: Path) -> Installation:
    async with open_store(database_url, data_dir, writes=False) as pool:
        return await read_installation(pool)


async def _set(
    new: UUID | None, by: str, database_url: str | None, data_dir: Path
) -> tuple[UUID | None, UUID]:
    async with open_store(database_url, data_dir, writes=True) as pool:
        return await set_installation(pool, new, by)
