"""A spool on a disk of its own that is really full."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from phoebe_addon.spool.spool import Spool, SpoolError
from phoebe_addon.spool.spools import open_own
from tests.harness.spooled import NOW, admit, event, waiting


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB, where the kernel lets us have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a disk can only be mounted with the right to")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def fill(spool: Spool) -> None:
    for number in range(100):
        await spool.admit(f"r{number}", event(f"r{number}", size=20_000), NOW)


async def test_a_disk_that_was_full_is_used_again_without_a_restart(small_disk: Path) -> None:
    spool = open_own(small_disk / "spool", 10**9)
    try:
        await admit(spool, "under-way")
        (small_disk / "others").write_bytes(b"x" * 600_000)
        with pytest.raises(SpoolError, match="full"):
            await fill(spool)
        written = spool.finish("under-way", [event("under-way", size=20_000)], NOW)

        (small_disk / "others").unlink()

        spool.block_until_durable(written, 10)
        await admit(spool, "after")
        assert waiting(spool) == [(1, "under-way", "completed")]
    finally:
        spool.close()
