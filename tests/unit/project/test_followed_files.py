"""Followed files."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phoebe_runtime import followed_files
from tests.harness.waiting import until

GOOD, BETTER, BAD = b"good 1", b"good 2", b"bad"
KEPT = "what was in use stays in use: "

type Log = pytest.LogCaptureFixture


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(GOOD)
    return path


def parse(contents: Sequence[Any]) -> Any:
    joined = b"+".join(each.content for each in contents)
    if b"bad" in joined:
        raise followed_files.UnusableFileError(f"it is {joined.decode()}")
    warnings = ("everyone may read it",) if contents[0].mode & 0o004 else ()
    return followed_files.Parsed(joined, warnings)


def follow(*paths: Path, bytes_max: int = 1000) -> Any:
    for each in paths:
        if each.exists() and not each.is_symlink():
            each.chmod(0o600)
    files = [followed_files.FollowedFile(each, f"the file {each.name}", bytes_max) for each in paths]
    return followed_files.Followed("the file", files, parse)


def look(followed: Any, times: int = 2) -> Any:
    """Look so often; return what holds then."""
    for _ in range(times):
        followed.look()
    return followed.value


def messages(log: Log, level: int) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno == level]


def faults(log: Log) -> list[str]:
    said = messages(log, logging.ERROR)
    assert all(KEPT in message for message in said)
    return [message.partition(KEPT)[2] for message in said]


def test_what_is_read_at_first_holds(path: Path, caplog: Log) -> None:
    followed = follow(path)
    before = followed.value

    assert look(followed, 5) is before
    assert (before, followed.fault, caplog.text) == (GOOD, "", "")


def test_a_file_that_everybody_may_write_to_is_not_trusted(path: Path, caplog: Log) -> None:
    followed = follow(path)
    path.write_bytes(BETTER)
    path.chmod(0o622)
    assert look(followed) == GOOD
    assert faults(caplog) == [
        "can't trust the file file: every user of this machine may write to it; chmod o-w"
    ]

    path.chmod(0o600)
    assert look(followed) == BETTER
    path.chmod(0o666)
    with pytest.raises(followed_files.UnusableFileError, match="can't trust"):
        followed_files.Followed("the file", [followed_files.FollowedFile(path, "the file")], parse)


def test_a_change_is_taken_once_it_was_seen_twice(path: Path, caplog: Log) -> None:
    caplog.set_level(logging.INFO)
    followed = follow(path)
    path.write_bytes(BETTER)

    assert look(followed, 1) == GOOD
    assert look(followed, 1) == BETTER
    look(followed, 3)
    assert caplog.text.count("the file was read again") == 1


def test_a_file_that_is_still_being_written_is_not_taken(path: Path) -> None:
    followed = follow(path)
    with path.open("wb", buffering=0) as writing:
        for number in range(5):
            writing.write(b"good %d " % number)
            assert look(followed, 1) == GOOD
    whole = path.read_bytes()
    assert look(followed, 2) == whole


def test_a_file_that_changes_while_it_is_read_is_not_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = follow(path)
    path.write_bytes(BETTER)
    opened = os.fdopen
    appended: list[int] = []

    def open_and_change(descriptor: int, *arguments: Any, **more: Any) -> Any:
        if len(appended) < 2:
            appended.append(1)
            with path.open("ab") as writing:
                writing.write(b"!")
        return opened(descriptor, *arguments, **more)

    monkeypatch.setattr(os, "fdopen", open_and_change)
    assert look(followed, 3) == GOOD
    assert look(followed, 1) == BETTER + b"!!"


def test_a_change_that_keeps_size_and_time_of_modification_is_noticed(path: Path) -> None:
    followed = follow(path)
    look(followed)
    before = path.stat()
    path.write_bytes(BETTER)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size

    assert look(followed) == BETTER


def test_a_change_right_after_the_first_reading_is_noticed_whatever_a_look_shows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system whose clock is coarse."""
    monkeypatch.setattr(followed_files, "_shape", lambda status: (0, 0, 0, 0, 0))
    followed = follow(path)
    path.write_bytes(BETTER)

    assert look(followed) == BETTER


def mount(folder: Path, version: str, **files: bytes) -> None:
    """Put files where Kubernetes puts those of a Secret, all at once: links to a link to a folder."""
    folder.mkdir(exist_ok=True)
    (folder / version).mkdir()
    for name, content in files.items():
        (folder / version / name).write_bytes(content)
        (folder / version / name).chmod(0o600)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    fresh = folder / "..data_tmp"
    fresh.symlink_to(version)
    fresh.replace(folder / "..data")


def test_the_links_of_a_mounted_secret_are_followed(tmp_path: Path, caplog: Log) -> None:
    folder = tmp_path / "mounted"
    mount(folder, "..v1", certificate=b"good c1", key=b"good k1")
    followed = follow(folder / "certificate", folder / "key")
    assert followed.value == b"good c1+good k1"
    mount(folder, "..v2", certificate=b"good c2", key=b"good k2")

    assert look(followed) == b"good c2+good k2"
    assert messages(caplog, logging.ERROR) == []


def test_files_that_belong_together_are_taken_together(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    certificate.write_bytes(b"good c1")
    key.write_bytes(b"good k1")
    followed = follow(certificate, key)
    certificate.write_bytes(b"good c2")
    assert look(followed, 1) == b"good c1+good k1"
    key.write_bytes(b"good k2")
    assert look(followed, 1) == b"good c1+good k1"
    assert look(followed, 1) == b"good c2+good k2"


def test_what_can_not_be_used_is_said_once_and_what_was_in_use_stays(path: Path, caplog: Log) -> None:
    followed = follow(path)
    path.write_bytes(BAD)
    assert look(followed, 5) == GOOD
    assert followed.fault == "it is bad"
    path.write_bytes(b"bad again")
    look(followed, 5)

    assert faults(caplog) == ["it is bad", "it is bad again"]
    path.write_bytes(BETTER)
    assert look(followed) == BETTER
    assert followed.fault == ""


def test_a_fault_ends_when_the_file_is_as_it_was(path: Path, caplog: Log) -> None:
    caplog.set_level(logging.INFO)
    followed = follow(path)
    path.write_bytes(BAD)
    look(followed)
    path.write_bytes(GOOD)
    look(followed, 5)

    assert (followed.value, followed.fault) == (GOOD, "")
    assert caplog.text.count("the file is as it was, and in use") == 1


def test_a_file_that_is_gone_is_said_once_and_so_is_its_return(path: Path, caplog: Log) -> None:
    caplog.set_level(logging.INFO)
    followed = follow(path)
    path.unlink()
    assert look(followed, 5) == GOOD
    assert faults(caplog) == ["can't read the file file: No such file or directory"]
    path.write_bytes(GOOD)
    path.chmod(0o600)
    look(followed, 5)

    assert caplog.text.count("the file is as it was, and in use") == 1
    path.unlink()
    look(followed, 5)
    assert len(faults(caplog)) == 2


def test_a_file_that_is_gone_for_a_moment_only_is_not_missed(path: Path, caplog: Log) -> None:
    """As with editors that remove a file before they write it anew."""
    followed = follow(path)
    path.unlink()
    look(followed, 1)
    path.write_bytes(BETTER)

    assert look(followed) == BETTER
    assert faults(caplog) == []


def test_a_file_that_could_not_be_opened_is_tried_again_although_it_did_not_change(
    path: Path, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = follow(path)
    path.write_bytes(BETTER)
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> int:
            raise OSError(24, "Too many open files")

        patch.setattr(os, "open", refuse)
        assert look(followed, 5) == GOOD
    assert faults(caplog) == ["can't read the file file: Too many open files"]

    assert look(followed) == BETTER
    assert followed.fault == ""


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(followed_files.UnusableFileError, match="it is not a regular file"):
        follow(pipe)


def test_a_file_that_is_longer_than_such_a_file_can_be_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        os.truncate(file.fileno(), 2**40)

    with pytest.raises(followed_files.UnusableFileError, match="it is longer than 1,000 bytes"):
        follow(path)


@pytest.mark.parametrize("content", [None, BAD])
def test_a_file_that_can_not_be_used_at_first_is_an_error(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)

    with pytest.raises(followed_files.UnusableFileError):
        follow(path)


def test_permissions_that_change_are_warned_of(path: Path, caplog: Log) -> None:
    followed = follow(path)
    assert look(followed, 3) == GOOD
    assert messages(caplog, logging.WARNING) == []
    path.chmod(0o644)
    look(followed, 5)

    (warning,) = messages(caplog, logging.WARNING)
    assert "everyone may read it" in warning


def test_what_changed_while_it_was_parsed_is_not_taken(path: Path) -> None:
    """A parser may look at the files themselves, as those of certificates do."""
    path.chmod(0o600)

    def parse_slowly(contents: Sequence[Any]) -> Any:
        if contents[0].content == BETTER:
            path.write_bytes(b"good 3")
        return parse(contents)

    followed = followed_files.Followed(
        "the file", [followed_files.FollowedFile(path, "the file")], parse_slowly
    )
    path.write_bytes(BETTER)

    assert look(followed) == GOOD
    assert look(followed) == b"good 3"


def test_what_could_not_be_taken_for_another_reason_is_offered_again(path: Path, caplog: Log) -> None:
    changes = followed_files.FileChanges("the file", [followed_files.FollowedFile(path, "the file")])
    changes.read()
    changes.use()
    path.write_bytes(BETTER)
    changes.look()
    for _ in range(3):
        offered = changes.look()
        assert offered
        assert [file.content for file in offered] == [BETTER]
        changes.postpone("the database is away")
    assert faults(caplog) == ["the database is away"]
    assert changes.look()
    changes.use()
    assert (changes.look(), changes.fault) == (None, "")


def test_content_does_not_show_when_it_is_printed() -> None:
    assert "secret" not in repr(followed_files.FileContent(b"secret", 0))


async def test_files_are_followed_until_that_is_cancelled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_files, "PERIOD_S", 0.01)
    followed = follow(path)
    following = asyncio.create_task(followed_files.follow(followed))
    write(path, BETTER)
    await until(lambda: followed.value == BETTER)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_who_wants_to_know_is_told_of_a_change_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_files, "PERIOD_S", 0.01)
    followed = follow(path)
    found: list[bytes] = []
    following = asyncio.create_task(
        followed_files.follow_current(lambda: followed, lambda: found.append(followed.value))
    )
    write(path, BETTER)
    await until(lambda: found)
    write(path, GOOD)
    await until(lambda: found[-1] == GOOD)
    following.cancel()
    assert found == [BETTER, GOOD]


def test_what_no_file_says_stays() -> None:
    fixed = followed_files.Followed.fixed("value")

    assert look(fixed, 5) == "value"
    assert fixed.fault == ""


def replace(path: Path, content: bytes) -> None:
    fresh = path.with_name("fresh")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    fresh.replace(path)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


STEPS: dict[str, Callable[[Path, bytes], object]] = {
    "write": write,
    "replace": replace,
    "remove": lambda path, _: path.unlink(missing_ok=True),
    "touch": lambda path, _: path.touch() if path.exists() else None,
    "look": lambda *_: None,
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from([GOOD, BETTER, BAD, b"bad too"])),
        max_size=12,
    )
)
def test_whatever_becomes_of_a_file_the_last_usable_content_that_rested_holds(
    tmp_path: Path, steps: list[tuple[str, bytes]]
) -> None:
    path = tmp_path / "file"
    write(path, GOOD)
    followed = follow(path)
    seen, expected = GOOD, GOOD
    for step, content in steps:
        STEPS[step](path, content)
        now = path.read_bytes() if path.exists() else b""
        if now == seen and now.startswith(b"good"):
            expected = now  # it has rested since the look before
        seen = now
        assert look(followed, 1) == expected
    rests = seen if seen.startswith(b"good") else expected
    assert look(followed, 3) == rests
    assert bool(followed.fault) == (not seen.startswith(b"good"))


def test_what_is_not_in_use_is_said_again_once_in_a_while(
    path: Path, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = follow(path)
    path.write_bytes(BAD)
    look(followed, 9)
    assert caplog.text.lower().count(KEPT) == 1
    monkeypatch.setattr(followed_files, "REMIND_EVERY_S", 0.0)
    look(followed, 3)
    assert caplog.text.lower().count(KEPT) == 4
    path.write_bytes(BETTER)
    assert look(followed) == BETTER
    said = caplog.text.lower().count(KEPT)
    look(followed, 3)
    assert caplog.text.lower().count(KEPT) == said
