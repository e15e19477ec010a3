"""A database whose clock is not that of this machine."""

from datetime import timedelta

import asyncpg


async def skew_database(url: str, ahead: timedelta) -> None:
    """Set the clock of a database ahead of this machine's, or behind, for all sessions that begin later."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"""
            CREATE SCHEMA skewed;
            CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
                RETURN pg_catalog.clock_timestamp() + interval '{ahead.total_seconds()} seconds'
            """)
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        # Names of PostgreSQL's own are found first, unless its schema is named.
        await connection.execute(f"ALTER DATABASE {name} SET search_path = public, skewed, pg_catalog")
    finally:
        await connection.close()
