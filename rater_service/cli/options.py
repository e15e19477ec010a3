"""Options that several commands share, and what stands behind them."""

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from phoebe_runtime.log_lines import LogFormat
from rater_service.database.database import Pool, open_database, open_pool
from rater_service.errors import OperatorError
from rater_service.hours import LATE_MAX, InvalidWindow
from rater_service.prices.pricebook import Allowed

DATA_DIR_DEFAULT = Path(".phoebe/data")


def _moment(written: str) -> datetime:
    try:
        moment = datetime.fromisoformat(written)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{written!r} is not a time; write it like 2026-12-01T00:00Z") from None


def moment_option(flag: str, explanation: str) -> typer.models.OptionInfo:
    """Make an option that takes a time: ISO 8601, UTC where it names no offset."""
    info = typer.Option(flag, parser=_moment, metavar="T", show_default=False, help=explanation)
    assert isinstance(info, typer.models.OptionInfo)
    return info


WindowStart = Annotated[
    datetime | None, moment_option("--since", "Start of the window, inclusive: a whole hour, UTC.")
]
WindowEnd = Annotated[
    datetime | None, moment_option("--until", "End of the window, exclusive: a whole hour, UTC.")
]


LogStyle = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar="PHOEBE_LOG_FORMAT",
        help="How the log on standard error is written: for people, or an object of JSON a line.",
    ),
]


@contextmanager
def explained_windows() -> Iterator[None]:
    """Turn a window that can't be into an OperatorError, in which the options are named."""
    try:
        yield
    except InvalidWindow as error:
        flags = str(error).replace("window_start", "--since").replace("window_end", "--until")
        raise OperatorError(flags) from error


_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
}
# Far beyond what anybody waits for, and within what PostgreSQL takes, 2^31 - 1 milliseconds.
_DURATION_MAX = timedelta(days=7)


def duration(written: str) -> timedelta:
    """Read a duration with its unit, more than nothing and up to 7 days. Raises BadParameter."""
    found = _DURATION.fullmatch(written)
    length = int(found[1]) * _UNITS[found[2]] if found else timedelta(0)
    if not timedelta(0) < length <= _DURATION_MAX:
        raise typer.BadParameter(
            f"{written!r} is not a duration of up to 7 days; write it like 500ms, 5s, 10m or 1h"
        )
    return length


def duration_option(flag: str, envvar: str | None, default: str, explanation: str) -> typer.models.OptionInfo:
    """Make an option that takes a duration with its unit. default: what to show as the default."""
    info = typer.Option(
        flag, envvar=envvar, parser=duration, metavar="DURATION", show_default=default, help=explanation
    )
    assert isinstance(info, typer.models.OptionInfo)
    return info


def named_database(url: str | None, variable: str, without: str) -> str | None:
    """Refuse a URL that is empty. without: what leaving the variable out means; an empty one does not."""
    if (os.environ.get(variable) if url is None else url.strip()) == "":
        raise OperatorError(f"{variable} is empty: name a PostgreSQL, or leave the variable out {without}")
    return url


AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON to standard output.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="DATABASE_URL",
        metavar="URL",
        show_default=False,
        callback=lambda url: named_database(url, "DATABASE_URL", "for the embedded one"),
        help="The PostgreSQL (15 or newer): postgresql://USER:PASSWORD@HOST/DATABASE. Without it an "
        "embedded PostgreSQL is run on the data in --data. On the command line others can read the password; "
        "prefer the variable.",
    ),
]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data", envvar="PHOEBE_DATA", metavar="DIR", help="Where the embedded PostgreSQL keeps its data."
    ),
]


LATE_DAYS_DEFAULT = LATE_MAX.days
LateDays = Annotated[
    int,
    typer.Option(
        "--late-days",
        envvar="PHOEBE_LATE_DAYS",
        metavar="DAYS",
        min=0,
        max=3660,
        help="A routine run also rates earlier hours to which usage came since they were rated, if they are "
        "no older than this; older ones it names.",
    ),
]
AllowRate = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-rate",
        metavar="MODEL",
        show_default=False,
        help="Take a rate of this model above 0.001 USD per token as meant, also of what derives from it. "
        "May be repeated. The file can say it too: allow: { rates: [MODEL] }.",
    ),
]
AllowChange = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-change",
        metavar="MODEL",
        show_default=False,
        help="Take a change of this model's rates by more than ten times, up or down, as meant, also of what "
        "derives from it. May be repeated. The file can say it too: allow: { changes: [MODEL] }.",
    ),
]


def allowed_prices(rates: list[str] | None, changes: list[str] | None) -> Allowed:
    """Give what --allow-rate and --allow-change allow."""
    return Allowed(frozenset(rates or ()), frozenset(changes or ()))


@asynccontextmanager
async def open_store(database_url: str | None, data_dir: Path, *, writes: bool) -> AsyncIterator[Pool]:
    """Open the database the options name, with a schema that is up to date.

    Only the embedded one is migrated on the way. writes: False for what only reads, which a standby can
    answer too. Raises OperatorError.
    """
    from rater_service.database.numbers import refuse_numbers_behind  # noqa: PLC0415 - slow to import
    from rater_service.database.schema import migrate, require_fitting_schema  # noqa: PLC0415 - slow to import

    async with open_database(database_url or None, data_dir) as url:
        if not database_url:
            await migrate(url)
        async with open_pool(url, writes=writes, read_only=not writes) as pool:
            await require_fitting_schema(pool)
            if writes:
                async with pool.acquire() as connection:
                    await refuse_numbers_behind(connection)
            yield pool
