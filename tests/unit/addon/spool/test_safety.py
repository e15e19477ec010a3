"""What others may have put into a spool folder is named and left alone."""

import logging
import os
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from phoebe_addon.spool.folder import free
from phoebe_addon.spool.spool import Spool, SpoolError
from phoebe_addon.spool.spools import adopt, open_own
from tests.harness.spooled import finish, spool_file, waiting

type Open = Callable[..., Spool]
SOMEBODY = 12345
PLANTED = "spool-0.sqlite3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def left(open_spool: Open, folder: Path) -> Path:
    """A spool with an event, of a process that is gone."""
    spool = open_spool()
    finish(spool, "a")
    spool.close()
    return spool_file(folder)


def errors(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno >= logging.ERROR]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_folder_and_files_are_this_users_alone_whatever_the_umask(open_spool: Open, folder: Path) -> None:
    before = os.umask(0)
    try:
        spool = open_spool()
        finish(spool, "a")
    finally:
        os.umask(before)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert set(modes(folder).values()) == {0o600}
    assert {name.partition(".sqlite3")[2] for name in modes(folder)} == {"", "-wal", ".lock"}


def test_files_that_others_could_read_are_taken_from_them(left: Path, folder: Path) -> None:
    left.chmod(0o644)
    with closing(open_own(folder, 10**9)):
        assert set(modes(folder).values()) == {0o600}


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_to_which_everybody_may_write_is_refused_whoever_is_trusted(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    for trust_group in (False, True):
        with pytest.raises(SpoolError, match="every user of this machine may write to the spool folder"):
            open_own(folder, 10**9, trust_group=trust_group)
    assert list(folder.iterdir()) == []


def test_a_folder_of_a_group_is_taken_only_by_name(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o2770)
    with pytest.raises(SpoolError, match="phoebe_spool_trust_group=true"):
        open_own(folder, 10**9)
    open_own(folder, 10**9, trust_group=True).close()


def test_a_folder_that_everybody_may_put_another_in_the_place_of_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open" / "above").mkdir(parents=True)
    (tmp_path / "open").chmod(0o777)
    folder = tmp_path / "open" / "above" / "spool"
    with pytest.raises(SpoolError, match=f"chmod o-w {tmp_path}/open"):
        open_own(folder, 10**9)

    (tmp_path / "open").chmod(0o1777)  # as /tmp is: nobody can rename what is another's
    open_own(folder, 10**9).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, SOMEBODY, -1)
    with pytest.raises(SpoolError, match=f"belongs to the user {SOMEBODY}.*chown"):
        open_own(folder, 10**9)


def test_a_folder_that_was_opened_to_others_later_is_no_longer_adopted_from(left: Path, folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(SpoolError, match="every user"):
        adopt(folder, 10**9)
    folder.chmod(0o700)
    with closing(adopt(folder, 10**9) or pytest.fail("nothing to adopt")) as adopted:
        assert adopted.depth() == 1


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def dangling_link(path: Path, target: Path) -> None:
    path.symlink_to(target.with_name("elsewhere"))


def hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def folder_there(path: Path, _: Path) -> None:
    path.mkdir()


def writable(path: Path, _: Path) -> None:
    path.touch()
    path.chmod(0o666)


def of_another(path: Path, _: Path) -> None:
    path.touch()
    os.chown(path, SOMEBODY, -1)


PLANTS = [
    (pipe, "a named pipe"),
    (link, "a symbolic link"),
    (dangling_link, "a symbolic link"),
    (hard_link, "2 names"),
    (folder_there, "a folder"),
    (writable, "every user of this machine may write"),
    pytest.param(
        of_another,
        f"belongs to the user {SOMEBODY}",
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
    ),
]


@pytest.mark.parametrize("beside", ["", ".lock", "-wal", ".replacement"])
@pytest.mark.parametrize(("plant", "said"), PLANTS)
def test_what_was_planted_is_named_once_left_as_it_is_and_holds_up_nobody(  # noqa: PLR0917 - fixtures
    left: Path,
    folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    plant: Callable[[Path, Path], None],
    said: str,
    beside: str,
) -> None:
    target = tmp_path / "target"
    target.write_bytes(left.read_bytes())
    if beside:
        (folder / PLANTED).touch(0o600)
    plant(folder / f"{PLANTED}{beside}", target)
    before = {path: path.lstat() for path in folder.glob(f"{PLANTED}*")}

    for _ in range(2):
        with closing(adopt(folder, 10**9) or pytest.fail("nothing to adopt")) as adopted:
            assert [name for _, name, _ in waiting(adopted)] == ["a"]
            assert adopted.path == left
    with closing(open_own(folder, 10**9)) as own:
        assert own.path == left

    (error,) = errors(caplog)
    assert PLANTED in error
    assert said in error
    assert {path: path.lstat() for path in folder.glob(f"{PLANTED}*")} == before
    assert target.read_bytes()
    assert not (tmp_path / "elsewhere").exists()


def test_a_socket_is_named(left: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mknod(folder / PLANTED, 0o600 | stat.S_IFSOCK)  # what binding a socket there leaves
    (claim,) = free(folder)
    claim.release()
    assert claim.path == left
    assert "a socket" in caplog.text
