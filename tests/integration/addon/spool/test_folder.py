"""A spool that another process has."""

from contextlib import closing
from pathlib import Path

import pytest

from phoebe_addon.spool.spool import Spool
from phoebe_addon.spool.spools import adopt
from tests.harness.python_child import python_child
from tests.harness.spooled import waiting

OWNER = """
import sys, time
from pathlib import Path
from phoebe_addon.spool.spools import open_own
from tests.harness.spooled import finish
spool = open_own(Path(sys.argv[1]), 10**9)
finish(spool, "theirs")
print(spool.producer_id, flush=True)
sys.stdin.read()
"""


def adopt_one(folder: Path) -> Spool | None:
    return adopt(folder, 10**9)


def test_what_another_process_has_is_adopted_only_once_it_is_gone(tmp_path: Path) -> None:
    with python_child(OWNER, tmp_path) as owner:
        producer = owner.hear()
        assert adopt_one(tmp_path) is None

        owner.kill()

        with closing(adopt_one(tmp_path) or pytest.fail("nothing to adopt")) as adopted:
            assert adopted.producer_id == producer
            assert waiting(adopted) == [(1, "theirs", "completed")]
            assert adopt_one(tmp_path) is None
