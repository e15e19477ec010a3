"""`phoebe rejected`: the events that were kept aside, and another attempt to store them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.plugins import WholeLines
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.events.rejected import RejectedEvent, Retried, list_rejected, retry_rejected
from rater_service.events.store import Fate
from rater_service.views.documents import write_json
from rater_service.views.rejected import REJECTED, RETRIED, show_rejected, show_retried
from rater_service.views.terminal import OnPart, reported_progress

_SETTLED = (Fate.STORED, Fate.DUPLICATE)
_LIMIT_MAX = 10_000

app = typer.Typer(cls=WholeLines, help="See the events that were kept aside.", no_args_is_help=True)


class StillRejected(NeedsAttention):
    """Some events could not be stored at another attempt either."""


@app.callback()
def rejected() -> None:
    """See the events that were kept aside, and try to store them again."""


@app.command(name="list")
def show(
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", show_default=False, help="Only those whose reason contains this."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=_LIMIT_MAX, help="How many at most.")] = 100,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List events that were kept aside and are not settled, oldest first.

    REJECTED: it breaks the rules named. CONFLICT: another event with its request id was stored before; the
    fields in which they differ are shown, the first one's value before the other's.

    Exit codes: 0 done; 1 failure.
    """
    found = asyncio.run(_list(reason or None, limit, database_url, data))
    if as_json:
        write_json(REJECTED, {"events": found})
    else:
        show_rejected(found)


async def _list(
    reason: str | None, limit: int, database_url: str | None, data_dir: Path
) -> list[RejectedEvent]:
    async with open_store(database_url, data_dir, writes=False) as pool:
        return await list_rejected(pool, reason, limit)


@app.command()
def retry(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]...", help="Events, as `list` shows them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Try all that are not settled.")] = False,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Try again to store events that were kept aside, after an upgrade or a fix.

    Those that are stored belong to hours that may have been rated: rate them again.

    Exit codes: 0 all are stored; 1 failure, also an ID that is not in the list; 2 some are still refused.
    """
    if bool(ids) == every:
        raise typer.BadParameter("name IDs, or give --all")
    with reported_progress("trying again") as on_part:
        tried = asyncio.run(_retry(ids or None, database_url, data, on_part))
    if as_json:
        write_json(RETRIED, {"events": tried})
    else:
        show_retried(tried)
    if missing := set(ids or ()) - {event.id for event in tried}:
        names = ", ".join(map(str, sorted(missing)))
        raise OperatorError(f"not in the list: {names}; see `phoebe rejected list`")
    if any(event.fate not in _SETTLED for event in tried):
        raise StillRejected


async def _retry(
    ids: Sequence[int] | None, database_url: str | None, data_dir: Path, on_part: OnPart
) -> list[Retried]:
    tried = []
    async with open_store(database_url, data_dir, writes=True) as pool:
        async for event in retry_rejected(pool, ids, datetime.now(UTC)):
            tried.append(event)
            on_part(f"trying again, {len(tried)} done")
    return tried
