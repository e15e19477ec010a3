"""How PostgreSQL would execute a statement, and what it reads for it."""

import json

from rater_service.database.database import Connection, Pool
from rater_service.statements import Bound


async def plan(database: Pool | Connection, statement: Bound) -> str:
    text, *arguments = statement
    rows = await database.fetch(f"EXPLAIN {text}", *arguments)
    return "\n".join(row[0] for row in rows)


async def pages_read(database: Pool | Connection, statement: Bound) -> int:
    """Execute a statement; return how many pages of tables and indexes it looked at."""
    text, *arguments = statement
    explained = await database.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", *arguments)
    executed = json.loads(explained)[0]["Plan"]
    return int(executed["Shared Hit Blocks"]) + int(executed["Shared Read Blocks"])
