"""Several processes, one folder: who has which spool, and what becomes of those nobody has."""

import asyncio
import fcntl
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from phoebe_addon.spool.folder import free, take
from phoebe_addon.spool.spool import Spool
from phoebe_addon.spool.spools import adopt, open_own
from tests.harness.spooled import admit, finish, spool_file, waiting

type Open = Callable[..., Spool]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def adopt_one(folder: Path) -> Spool | None:
    return adopt(folder, 10**9)


def say_all(spool: Spool) -> None:
    """Do what a delivery does to a spool: bring all to the rater, and say that it was the last."""
    asyncio.run(spool.forget(spool.read(1000)))
    spool.note_stopped(stopped=True)


def test_two_that_are_open_are_two_producers_with_files_of_their_own(open_spool: Open, folder: Path) -> None:
    first, second = open_spool(), open_spool()

    assert first.producer_id != second.producer_id
    assert len(list(folder.glob("*.sqlite3"))) == 2


def test_what_is_claimed_is_nobody_elses_even_before_it_is_opened(open_spool: Open, folder: Path) -> None:
    open_spool().close()
    claim = next(free(folder))

    assert list(free(folder)) == []
    other = next(take(folder))
    assert other.path != claim.path
    other.release()
    claim.release()
    assert [again.path for again in free(folder)] == [claim.path]


@pytest.mark.parametrize("is_late", [False, True], ids=["before the lock is had", "after it"])
def test_a_new_spool_is_had_though_another_process_looks_at_that_moment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_late: bool
) -> None:
    lock = fcntl.flock
    looks: list[int] = []

    def lock_while_another_looks(descriptor: int, operation: int) -> None:
        if looks:
            lock(descriptor, operation)
            return
        looks.append(descriptor)
        if is_late:
            for path in folder.glob("*.lock"):
                path.unlink()
        else:
            assert list(free(folder)) == []
        lock(descriptor, operation)

    folder.mkdir()
    monkeypatch.setattr(fcntl, "flock", lock_while_another_looks)
    claim = next(take(folder))
    assert looks
    assert [path.name for path in folder.iterdir()] == [f"{claim.path.name}.lock"]
    claim.release()


def test_who_starts_again_takes_an_old_spool_and_not_a_new_one(open_spool: Open, folder: Path) -> None:
    for _ in range(3):
        spools = [open_spool(), open_spool()]
        producers = {spool.producer_id for spool in spools}
        for spool in spools:
            spool.close()

    assert len(list(folder.glob("*.sqlite3"))) == 2
    assert open_spool().producer_id in producers


async def test_what_was_under_way_in_an_adopted_spool_becomes_an_event(
    open_spool: Open, folder: Path
) -> None:
    left = open_spool()
    await admit(left, "a")
    left.close()

    with closing(adopt_one(folder) or pytest.fail("nothing to adopt")) as adopted:
        assert waiting(adopted) == [(1, "a", "proxy_error")]


def test_a_spool_of_which_the_rater_knows_all_is_left_for_who_starts_again(
    open_spool: Open, folder: Path
) -> None:
    left = open_spool()
    finish(left, "a")
    say_all(left)
    left.close()

    assert adopt_one(folder) is None
    again = open_spool()
    assert again.producer_id == left.producer_id
    again.close()
    # Now the rater must be told again that it stopped.
    with closing(adopt_one(folder) or pytest.fail("nothing to adopt")) as adopted:
        assert adopted.depth() == 0


def test_an_adopted_spool_goes_when_it_is_empty_and_not_before(open_spool: Open, folder: Path) -> None:
    left = open_spool()
    finish(left, "a")
    left.close()
    adopted = adopt_one(folder)
    assert adopted
    adopted.close_and_remove()
    assert len(list(folder.glob("*.sqlite3"))) == 1

    adopted = adopt_one(folder)
    assert adopted
    say_all(adopted)
    adopted.close_and_remove()

    assert list(folder.iterdir()) == []


def test_damaged_rows_are_kept_when_their_spool_goes(open_spool: Open, folder: Path) -> None:
    left = open_spool()
    finish(left, "a")
    left.condemn(left.read(1)[0].id)
    left.close()
    adopted = adopt_one(folder)
    assert adopted
    say_all(adopted)
    adopted.close_and_remove()

    (kept,) = folder.iterdir()
    assert ".damaged-" in kept.name
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT count(*) FROM quarantined").fetchone() == (1,)


def test_a_spool_that_is_open_without_a_claim_is_left_to_whoever_has_it(
    open_spool: Open, folder: Path
) -> None:
    open_spool().close()
    with closing(sqlite3.connect(spool_file(folder), isolation_level=None)) as looking:
        looking.execute("PRAGMA locking_mode = EXCLUSIVE")
        looking.execute("BEGIN IMMEDIATE")

        assert adopt_one(folder) is None
        assert open_spool()._file.path != Path(looking.execute("PRAGMA database_list").fetchone()[2])


def test_a_file_whose_making_was_broken_off_leaves_nothing(open_spool: Open, folder: Path) -> None:
    folder.mkdir()
    (folder / "spool-1.sqlite3.lock").touch()
    (folder / "spool-1.sqlite3.new").write_bytes(b"half")

    spool = open_spool()

    names = {path.name.partition(".")[0] for path in folder.iterdir()}
    assert names == {spool._file.path.name.partition(".")[0]}


def test_a_spool_that_cannot_be_used_does_not_keep_others_from_being_adopted(
    open_spool: Open, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = open_spool()
    finish(left, "a")
    left.close()
    (folder / "spool-0.sqlite3").mkdir()

    with closing(adopt_one(folder) or pytest.fail("nothing to adopt")) as adopted:
        assert waiting(adopted) == [(1, "a", "completed")]
    assert "spool-0.sqlite3 is a folder" in caplog.text


def test_the_folder_must_be_usable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match="can't be used"):
        open_own(tmp_path / "file", 10**9)
