"""What an operator should know of a database before it is used."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from rater_service.database.database import Connection, Pool
from rater_service.errors import OperatorError
from rater_service.statements import bound

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A database, as its server describes it.

    role: who is connected. collation_version, collation_version_now: of the library that orders text, when
    the database was made and now; None: no library orders it.
    """

    name: str
    role: str
    version: str
    encoding: str
    collation_version: str | None
    collation_version_now: str | None

    def refuse_encoding(self) -> None:
        """Raise OperatorError for a database that does not keep text as it came."""
        if self.encoding != "UTF8":
            raise OperatorError(
                f"the database {self.name} has the encoding {self.encoding}, in which names of models and "
                "customers can't all be kept: make one with CREATE DATABASE phoebe TEMPLATE template0 "
                "ENCODING 'UTF8', and name it in DATABASE_URL"
            )

    def warn_of_collation(self, tell: Callable[[str], None] = logger.warning) -> None:
        """Say that text may be ordered in another way than when the indexes were made."""
        if self.collation_version_now and self.collation_version != self.collation_version_now:
            tell(
                f"the library that orders text has changed on the database's machine, from version "
                f"{self.collation_version} to {self.collation_version_now}: indexes may miss rows, and keys "
                f'may be there twice. Run REINDEX DATABASE "{self.name}", then ALTER DATABASE "{self.name}" '
                "REFRESH COLLATION VERSION"
            )


async def read_server_facts(database: Pool | Connection) -> ServerFacts:
    """Ask the server."""
    row = await database.fetchrow(*bound("database/server_facts"))
    assert row is not None
    return ServerFacts(**row)
