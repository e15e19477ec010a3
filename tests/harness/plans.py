"""How PostgreSQL would execute a statement."""

from rater_service.database.database import Connection, Pool
from rater_service.statements import Bound


async def plan(database: Pool | Connection, statement: Bound) -> str:
    text, *arguments = statement
    rows = await database.fetch(f"EXPLAIN {text}", *arguments)
    return "\n".join(row[0] for row in rows)
