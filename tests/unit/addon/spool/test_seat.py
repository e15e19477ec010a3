"""Which spool files are a worker's."""

from pathlib import Path

import pytest

from phoebe_addon.spool.folder import free, take
from phoebe_addon.spool.seat import Seat
from phoebe_addon.spool.spools import open_own


@pytest.mark.parametrize(
    ("name", "own", "anothers"),
    [
        ("spool-worker-2-0199.sqlite3", True, False),
        ("spool-worker-1-0199.sqlite3", False, True),
        ("spool-worker-4-0199.sqlite3", False, False),  # there is no such number any more
        ("spool-worker-12-0199.sqlite3", False, False),
        ("spool-0199.sqlite3", False, False),
    ],
)
def test_a_file_tells_by_its_name_whose_it_is(name: str, own: bool, anothers: bool) -> None:
    seat = Seat(2, 3)

    assert (seat.has(Path("/spool") / name), seat.is_of_another(Path("/spool") / name)) == (own, anothers)


def test_a_number_takes_its_own_file_again_with_its_producer(tmp_path: Path) -> None:
    left = [open_own(tmp_path, 10**9, seat=Seat(number, 2)) for number in (1, 2)]
    producers = [spool.producer_id for spool in left]
    for spool in left:
        spool.close()

    again = [open_own(tmp_path, 10**9, seat=Seat(number, 2)) for number in (2, 1)]

    assert [spool.producer_id for spool in again] == producers[::-1]
    for spool in again:
        spool.close()


def test_a_number_whose_file_is_in_use_makes_another_one(tmp_path: Path) -> None:
    old = open_own(tmp_path, 10**9, seat=Seat(1, 2))

    new = open_own(tmp_path, 10**9, seat=Seat(1, 2))

    assert new.producer_id != old.producer_id
    assert all(path.name.startswith("spool-worker-1-") for path in tmp_path.glob("*.sqlite3"))
    for spool in (old, new):
        spool.close()


def test_a_worker_leaves_what_is_no_workers_and_mitmdump_takes_what_is_a_workers(tmp_path: Path) -> None:
    open_own(tmp_path, 10**9).close()
    (claim,) = take(tmp_path, seat=Seat(1, 1))
    claim.release()
    open_own(tmp_path, 10**9, seat=Seat(1, 1)).close()

    found = list(free(tmp_path))

    assert len(found) == 2
    for each in found:
        each.release()
