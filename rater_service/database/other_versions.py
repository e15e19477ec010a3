"""Services of other versions that have sessions with a database, and the wait until they have gone."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rater_service.database.database import APPLICATION, Connection
from rater_service.errors import OperatorError
from rater_service.statements import bound

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """What calls itself a Phoebe of another version. sessions: how many of it there are."""

    application: str
    host: str | None
    sessions: int

    def __str__(self) -> str:
        """Say who it is, as a part of a sentence."""
        return f"{self.application} from {self.host or 'this machine'}"


async def other_versions(connection: Connection) -> Sequence[OtherVersion]:
    """Find who has sessions with the database and is a Phoebe of another version, by name and host."""
    rows = await connection.fetch(*bound("database/other_versions", own=APPLICATION))
    return [OtherVersion(**row) for row in rows]


async def wait_for_other_versions(
    connection: Connection, longest: timedelta, tell: Callable[[str], None]
) -> None:
    """Wait until no other version has a session with the database, and tell for whom.

    Raises OperatorError when they have not gone by then.
    """
    deadline_s = time.monotonic() + longest.total_seconds()
    told: Sequence[OtherVersion] = ()
    while others := await other_versions(connection):
        if time.monotonic() > deadline_s:
            raise OperatorError(
                f"{_named(others)} still runs on this database, and the next revision takes away what it "
                "needs. That was not applied: replace what still runs, then migrate again"
            )
        if others != told:
            tell(f"waiting until no other version runs: {_named(others)}")
            told = others
        await asyncio.sleep(LOOK_EVERY_S)


def _named(others: Sequence[OtherVersion]) -> str:
    return " and ".join(map(str, others))
