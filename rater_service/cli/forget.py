"""`phoebe forget`: erases a person from events, and leaves bills, sums and the audit as they are."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.archive.files import NO_FILES, ErasedFiles, list_exports, list_files
from rater_service.archive.reading import require_parquet
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.database.database import OPERATOR_ERRORS, Pool
from rater_service.errors import OperatorError
from rater_service.events.forget import Person, count_person, erase_person
from rater_service.process_owner import user_name
from rater_service.views.documents import write_json
from rater_service.views.erasure import ERASURE, ErasedEverywhere, erasure_json, erasure_text
from rater_service.views.terminal import OnPart, reported_progress, write


def forget(  # noqa: PLR0913 - one parameter per option
    *,
    user_id: Annotated[
        str | None, typer.Option("--user-id", metavar="ID", show_default=False, help="Events of this user.")
    ] = None,
    auth_id: Annotated[
        str | None,
        typer.Option("--auth-id", metavar="ID", show_default=False, help="Events that this auth id pays."),
    ] = None,
    client_request_id: Annotated[
        str | None,
        typer.Option(
            "--client-request-id",
            metavar="ID",
            show_default=False,
            help="Events that a client gave this X-Request-Id.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without it only count what would be erased.")
    ] = False,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Who does it. Default: the user.")
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Erase a person from events: user ids, ids that clients gave, the engine's usage objects.

    Of stored events, of those in the archive, whose files are written again, and of those that were kept
    aside. Token counts, who pays and what it cost stay: no bill changes, and the audit proves the same. An
    event that its spool sends once more is known all the same and brings nothing back. It can't be undone.
    Cut short, it can be run again. That it was done is kept, without the person's name.

    Exit codes: 0 done, or counted; 1 failure.
    """
    person = Person(user_id or None, auth_id or None, client_request_id or None)
    if sum(value is not None for value in asdict(person).values()) != 1:
        raise typer.BadParameter("give one of --user-id, --auth-id and --client-request-id")
    with reported_progress("looking through events") as on_part:
        found = asyncio.run(_forget(person, by or user_name() if yes else None, database_url, data, on_part))
    if as_json:
        write_json(ERASURE, erasure_json(found, done=yes))
    else:
        for line in erasure_text(found, done=yes):
            write(line)


async def _archived(
    pool: Pool, person: Person, erasure: int | None, now: datetime, on_part: OnPart
) -> ErasedFiles:
    """Erase the person from the archive, or count. erasure: None: only count."""
    async with pool.acquire() as connection:
        if not await list_files(connection):
            return NO_FILES
    require_parquet()
    from rater_service.archive.erasure import PersonColumn, count_archived, erase_archived  # noqa: PLC0415 - an optional extra

    column = PersonColumn(person.chosen_by, str(getattr(person, person.chosen_by)))
    if erasure is None:
        return await count_archived(pool, column, on_part)
    return await erase_archived(pool, column, erasure, now, on_part)


async def _forget(
    person: Person, by: str | None, database_url: str | None, data_dir: Path, on_part: OnPart
) -> ErasedEverywhere:
    def tell(looked: int, found: int) -> None:
        on_part(f"looking through events, {looked} done, {found} found")

    async with open_store(database_url, data_dir, writes=True) as pool:
        try:
            now = datetime.now(UTC)
            if by is None:
                erased = await count_person(pool, person, tell)
            else:
                erased = await erase_person(pool, person, by, now, tell)
            archived = await _archived(pool, person, erased.id, now, on_part)
            return ErasedEverywhere(erased, archived, await list_exports(pool))
        except OPERATOR_ERRORS as error:
            raise OperatorError(
                f"it was cut short, run it again: {str(error) or type(error).__name__}"
            ) from error
