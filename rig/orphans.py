"""What a rater leaves behind that was killed."""

import asyncio
from pathlib import Path

from rig.programs import phoebe


async def stop_orphaned_database(folder: Path) -> str | None:
    """Stops the embedded PostgreSQL below `folder` if the rater died without doing so; says so then."""
    data = folder / "data"
    if not (data / "postgresql" / "postmaster.pid").exists():
        return None
    command = phoebe("embedded", "--stop", "--data", str(data))
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await process.communicate()
    if process.returncode:
        return complained.decode().strip()
    if b"stopped" in said:
        return "the embedded PostgreSQL was left behind by the rater, and was stopped"
    return None
