"""What a proxy left in its spool folder."""

from pathlib import Path

from phoebe_addon.spool.spools import open_own


def depth_of(folder: Path) -> int:
    """Count the events that wait in the spool of a process that has ended."""
    spool = open_own(folder, 10**9)
    depth = spool.depth()
    spool.close()
    return depth
