"""Which installation a database is: the id by which spools know to whom their events belong."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rater_service.database.database import Connection, Pool
from rater_service.errors import OperatorError
from rater_service.statements import bound


@dataclass(frozen=True, slots=True)
class Installation:
    """An installation. since, set_by: when the database became this one, and who said so; None: a migration
    made the id.
    """

    id: UUID
    since: datetime
    set_by: str | None


async def read_installation(database: Pool | Connection) -> Installation:
    """Read which installation a database is. Raises OperatorError if it is none."""
    row = await database.fetchrow(*bound("database/installation"))
    if row is None:
        raise OperatorError(
            "the database is no installation: somebody deleted the row of the table `installation`; run "
            "`phoebe installation set ID` with the id that the log of the rater said at its last start"
        )
    return Installation(**row)


async def set_installation(
    database: Pool | Connection, new: UUID | None, set_by: str
) -> tuple[UUID | None, UUID]:
    """Make the database another installation; None: one with a new id. Returns the ids before and after."""
    row = await database.fetchrow(*bound("database/set_installation", id=new, set_by=set_by))
    assert row is not None
    return row["before"], row["id"]
