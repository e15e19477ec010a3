"""What commands that read bills share: which hours they are about, and which rollups."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer

from rater_service.cli.options import moment_option
from rater_service.cli.window import parse_window
from rater_service.database.database import OPERATOR_ERRORS
from rater_service.database.sessions import reason
from rater_service.errors import OperatorError
from rater_service.hours import HOUR, hour_of, is_whole_hour

Window = Annotated[
    str | None,
    typer.Argument(
        metavar="WINDOW",
        show_default=False,
        help="A day (2026-12-01), a month (2026-12) or START/END. Default: the running month, so far.",
    ),
]
Since = Annotated[
    datetime | None, moment_option("--since", "Instead of WINDOW: its start, inclusive: a whole hour, UTC.")
]
Until = Annotated[
    datetime | None,
    moment_option("--until", "Its end, exclusive: a whole hour, UTC. Default: the end of the running hour."),
]
AsOfMoment = Annotated[
    datetime | None,
    moment_option("--as-of", "Show what the bills said at this moment, UTC. Default: what they say now."),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Fail, and write nothing, if complete hours of the period have usage to be rated yet.",
    ),
]
Customer = Annotated[
    str | None, typer.Option("--auth", metavar="ID", show_default=False, help="Only this auth id.")
]
Resource = Annotated[
    str | None, typer.Option("--resource", metavar="ID", show_default=False, help="Only this resource.")
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="M", show_default=False, help="Only this model.")
]


def read_period(
    window: str | None, since: datetime | None, until: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """Give the half-open window that the options name; the running month, so far, if they name none.

    Raises typer.BadParameter for bounds that are not whole hours or do not follow each other.
    """
    if window is not None:
        if since is not None or until is not None:
            raise typer.BadParameter("give WINDOW, or --since and --until")
        named = parse_window(window)
        return named.start, named.end
    this_hour = hour_of(now)
    if since is None:
        if until is not None:
            raise typer.BadParameter("--until needs --since")
        since = this_hour.replace(day=1, hour=0)
    end = until or this_hour + HOUR
    for flag, bound in (("--since", since), ("--until", end)):
        if not is_whole_hour(bound):
            raise typer.BadParameter(f"{flag} must be a whole UTC hour: rollups are of hours")
    if since >= end:
        raise typer.BadParameter("--until must be after --since")
    return since, end


@contextmanager
def explained_read_errors() -> Iterator[None]:
    """Turn what goes wrong in the database while bills are read into an OperatorError."""
    try:
        yield
    except OPERATOR_ERRORS as error:
        raise OperatorError(f"the bills could not be read: {reason(error)}") from error
