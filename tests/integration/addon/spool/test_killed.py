"""A process that is killed while it writes to its spool."""

from contextlib import closing
from pathlib import Path

import pytest

from phoebe_addon.spool.spools import open_own
from tests.harness.python_child import python_child, run_python
from tests.harness.spooled import waiting

KILLED = """
import asyncio, os, sys
from pathlib import Path
from phoebe_addon.spool.spools import open_own
from tests.harness.spooled import admit, finish

async def main():
    spool = open_own(Path(sys.argv[1]), 10**9)
    await admit(spool, "a")
    await admit(spool, "b")
    finish(spool, "a")
    print(spool.producer_id, flush=True)
    os._exit(9)

asyncio.run(main())
"""


def test_a_process_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    killed = run_python(KILLED, tmp_path / "spool")
    assert killed.returncode == 9, killed.stderr

    with closing(open_own(tmp_path / "spool", 10**9)) as spool:
        assert spool.producer_id == killed.stdout.strip()
        assert spool.recovered == 1
        assert waiting(spool) == [(1, "a", "completed"), (2, "b", "proxy_error")]


BUSY = """
import asyncio, itertools, sys
from pathlib import Path
from phoebe_addon.spool.spools import open_own
from tests.harness.spooled import NOW, admit, event

async def serve(spool, worker):
    for number in itertools.count():
        name = f"{worker}-{number}"
        await admit(spool, name)
        print("admitted", name, flush=True)
        await spool.until_durable(spool.finish(name, [event(name, size=number % 7 * 1000)], NOW))
        print("ended", name, flush=True)

async def main():
    spool = open_own(Path(sys.argv[1]), 10**9)
    await asyncio.gather(*(serve(spool, worker) for worker in range(4)))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 2, 7, 40, 150])
def test_whenever_a_process_is_killed_all_that_it_said_was_done_is_there(tmp_path: Path, lines: int) -> None:
    with python_child(BUSY, tmp_path / "spool") as process:
        said = [process.hear() for _ in range(lines)]
        process.kill()
        said += process.hear_the_rest()
    words = [line.split() for line in said]

    with closing(open_own(tmp_path / "spool", 10**9)) as spool:
        found = waiting(spool)
        assert spool.damaged_files == 0

    ended = {name for word, name in words if word == "ended"}
    assert ended <= {name for _, name, outcome in found if outcome == "completed"}
    assert {name for _, name in words} <= {name for _, name, _ in found}
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    assert len({name for _, name, _ in found}) == len(found)
