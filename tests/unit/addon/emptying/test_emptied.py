"""What `phoebe deliver` says at its end, and whether somebody has to look."""

from collections import Counter
from pathlib import Path

import pytest

from phoebe_addon.emptying.emptying import Emptied, Left, needs_human

FOLDER = Path("/spool")


def test_the_end_is_one_clear_line_where_all_went_well() -> None:
    done = Emptied(2, Counter(stored=4998, duplicate=2))

    assert done.in_words(FOLDER) == (
        "delivered 5000 events (2 duplicate, 4998 stored) from 2 spools in /spool; nothing is left"
    )
    assert not needs_human(done)


def test_what_is_left_is_named_one_line_each() -> None:
    left = [Left(FOLDER / "spool-a.sqlite3", 3, "because"), Left(FOLDER / "spool-b.sqlite3", None, "so")]

    assert Emptied(left=left).in_words(FOLDER) == (
        "delivered 0 events from 0 spools in /spool; 2 spools left\n"
        "left: spool-a.sqlite3 (3 events): because\n"
        "left: spool-b.sqlite3: so"
    )


@pytest.mark.parametrize(
    "done",
    [
        Emptied(1, Counter(rejected=1)),
        Emptied(1, Counter(conflict=1)),
        Emptied(1, Counter(stored=1), unreadable=1),
        Emptied(left=[Left(FOLDER, 1, "so")]),
    ],
    ids=["rejected", "conflict", "unreadable", "left"],
)
def test_what_can_not_be_billed_as_it_is_needs_a_human(done: Emptied) -> None:
    assert needs_human(done)
