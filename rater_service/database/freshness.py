"""How current the answers of a server are: a standby has what the primary had a moment before."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rater_service.database.database import Connection
from rater_service.errors import OperatorError
from rater_service.hours import utc_text
from rater_service.statements import bound

READ_DATABASE_URL = "READ_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class PrimaryMark:
    """Where the primary stood at a moment, by its own clock, UTC-aware.

    flushed: where its log ended; None: the server that was asked is a standby itself. system: of which
    cluster it is. started_at: since when the server runs.
    """

    at: datetime
    flushed: str | None
    system: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Freshness:
    """How current the answers of a server are; UTC-aware.

    as_of: whatever was committed by then is in them. behind: how long ago that was, at most. is_standby:
    False: the server is a primary, and its answers are of the present.
    """

    as_of: datetime
    behind: timedelta
    is_standby: bool

    def in_words(self) -> str:
        """Say it."""
        if not self.is_standby:
            return f"{READ_DATABASE_URL} names a server that is no standby: it answers as of now"
        return f"read from a standby, as of {utc_text(self.as_of.replace(microsecond=0))}, {self.behind_text}"

    @property
    def behind_text(self) -> str:
        """Say how far it is behind; a bound, where the primary did not say how far it is itself."""
        seconds = self.behind.total_seconds()
        return f"at most {seconds:.0f} s behind" if seconds else "0 s behind"


async def read_mark(primary: Connection) -> PrimaryMark:
    """Ask the primary where it stands."""
    row = await primary.fetchrow(*bound("database/primary_mark"))
    assert row is not None
    return PrimaryMark(**row)


async def read_freshness(connection: Connection, mark: PrimaryMark | None) -> Freshness:
    """Ask a server how current it is, outside of a transaction.

    mark: where its primary stood a moment before; None: nobody could say. Raises OperatorError for a server
    that does not follow that primary.
    """
    row = await connection.fetchrow(*bound("database/freshness", flushed=mark and mark.flushed))
    assert row is not None
    if mark is not None:
        _refuse_other(mark, row["system"], row["started_at"], is_standby=row["is_standby"])
    if not row["is_standby"]:
        return Freshness(row["now"], timedelta(0), is_standby=False)
    if mark is not None and row["has_all"]:
        return Freshness(mark.at, timedelta(0), is_standby=True)
    now = row["now"] if mark is None else mark.at
    return Freshness(row["replayed_at"], max(now - row["replayed_at"], timedelta(0)), is_standby=True)


def _refuse_other(mark: PrimaryMark, system: int, started_at: datetime, *, is_standby: bool) -> None:
    if system != mark.system:
        raise OperatorError(
            f"{READ_DATABASE_URL} names a server of another cluster than DATABASE_URL (system identifiers "
            f"{system} and {mark.system}): name a standby that was copied from it"
        )
    if not is_standby and mark.flushed is not None and started_at != mark.started_at:
        raise OperatorError(
            f"{READ_DATABASE_URL} names a server that was a standby and is none any more, and another one "
            "than DATABASE_URL: it gets nothing of what is stored there. Make it a standby again, or name "
            "another"
        )
