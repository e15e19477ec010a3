"""Files that are followed: read again when they change, never half, and missed when they can't be used.

A change is taken once two looks, a period apart, found the same content, so that a file that is still being
written is not taken: the first half of a price file can be a price file. Links are followed anew at every
look; that is how Kubernetes changes a mounted Secret or ConfigMap. A file that is gone or can't be used is
reported, and again every minute, and what was in use stays in use until there is something better.
"""

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NoReturn, Protocol

from phoebe_runtime.errors import OperatorError

logger = logging.getLogger(__name__)

PERIOD_S = 1.0
"""Between two looks. A look that finds nothing new costs one `stat` for each file."""

REMIND_EVERY_S = 60.0
"""How often it is said again that what files say now is not in use."""

FILE_BYTES_MAX = 16 * 1024 * 1024
"""Anything longer is another file."""

type _Shape = tuple[int, int, int, int, int] | str
"""What a look at a file without reading it shows, or why there is none to look at."""


class UnusableFileError(OperatorError):
    """A file can't be used. The message says which and why."""


@dataclass(frozen=True, slots=True)
class FollowedFile:
    """Where a file is, and what messages call it. They do not show a path that could be a secret itself."""

    path: Path
    called: str
    bytes_max: int = FILE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file as it was found. mode: its type and permissions, as `stat` has them."""

    content: bytes = field(repr=False)
    mode: int


class FileChanges:
    """Notices that files which belong together have changed, and logs what keeps them from being used.

    name: what the log calls them. fault: why what the files say now is not in use; empty when it is. taken,
    refused: how often a change came into use, or did not. taken_at: when what is in use was read, in seconds
    since 1970; 0: never.
    """

    def __init__(self, name: str, files: Sequence[FollowedFile]) -> None:
        self.name = name
        self.fault = ""
        self.taken = 0
        self.refused = 0
        self.taken_at = 0.0
        self._files = tuple(files)
        self._said_at = 0.0
        self._in_use: bytes | None = None
        self._offered: bytes | None = None
        self._last_found: bytes | str | None = None
        self._dealt_with: tuple[_Shape, ...] | None = None

    def read(self) -> tuple[FileContent, ...]:
        """Read the files for the first time. Raises UnusableFileError."""
        contents = _read_all(self._files)
        if contents is None:
            raise UnusableFileError(f"{self.name} is being changed; start again")
        self._offered = _digest(contents)
        return contents

    def look(self) -> tuple[FileContent, ...] | None:
        """Return the content if it is new and has settled, else None.

        Whoever gets it says with `use`, `refuse` or `postpone` what came of it.
        """
        self._remind()
        shapes = self._shapes()
        if shapes == self._dealt_with:
            return None
        contents, found = self._find()
        settled = found is not None and found == self._last_found
        self._last_found = found
        if not settled:
            return None
        if isinstance(found, str):
            self.refuse(found)  # and tried again at the next look: the reason may lie outside of the file
            return None
        self._dealt_with = shapes
        if found != self._in_use:
            self._offered = found
            return contents
        if self.fault:
            self.fault = ""
            self._note_taken()
            logger.info("%s is as it was, and in use", self.name)
        return None

    def _find(self) -> tuple[tuple[FileContent, ...] | None, bytes | str | None]:
        """Read the files. Returns their content, and a value that differs for other contents and faults."""
        try:
            contents = _read_all(self._files)
        except UnusableFileError as error:
            return None, str(error)
        return contents, None if contents is None else _digest(contents)

    def use(self, warnings: Sequence[str] = ()) -> None:
        """Note that what was read is in use. warnings: what the operator should mend although it works."""
        if self._in_use is None:
            self.taken_at = time.time()
        else:
            self._note_taken()
            logger.info("%s was read again", self.name)
        for warning in warnings:
            logger.warning("%s", warning)
        self._in_use = self._offered
        self.fault = ""

    def refuse(self, fault: str) -> None:
        """Note that the files can't be used as they are."""
        if fault != self.fault:
            self.fault = fault
            self.refused += 1
            self._say_fault()

    def _note_taken(self) -> None:
        self.taken += 1
        self.taken_at = time.time()

    def _remind(self) -> None:
        if self.fault and time.monotonic() - self._said_at >= REMIND_EVERY_S:
            self._say_fault()

    def _say_fault(self) -> None:
        self._said_at = time.monotonic()
        logger.error("what was in use stays in use: %s", self.fault)

    def postpone(self, fault: str) -> None:
        """Note that what was read can't be used now, for a reason outside of it: it is offered again."""
        self.refuse(fault)
        self._dealt_with = None

    def have_moved_on(self) -> bool:
        """Whether the files have changed since they were offered; later looks find what they became."""
        moved_on = self._shapes() != self._dealt_with
        if moved_on:
            self._dealt_with = None
        return moved_on

    def _shapes(self) -> tuple[_Shape, ...]:
        return tuple(_shape_of(file) for file in self._files)


@dataclass(frozen=True, slots=True)
class Parsed[T]:
    """What files say. warnings: what the operator should mend although it works."""

    value: T
    warnings: tuple[str, ...] = ()


class Followed[T]:
    """What files say that belong together: always the last that could be used.

    parse: makes it of the files' content; raises OperatorError for what can't be used. Raises OperatorError
    when the files can't be used at first. paths: of the files.
    """

    def __init__(
        self, name: str, files: Sequence[FollowedFile], parse: Callable[[Sequence[FileContent]], Parsed[T]]
    ) -> None:
        self.paths = tuple(file.path for file in files)
        self._parse = parse
        self.changes = FileChanges(name, files)
        parsed = parse(self.changes.read())
        self.value = parsed.value
        self.changes.use(parsed.warnings)

    @classmethod
    def fixed(cls, value: T) -> "Followed[T]":
        """Make what no file says, so that it stays."""
        return cls("what no file says", (), lambda _: Parsed(value))

    @property
    def fault(self) -> str:
        """Why what the files say now is not in use; empty when it is."""
        return self.changes.fault

    def look(self) -> None:
        """Take what the files say, if it is new and can be used."""
        contents = self.changes.look()
        if contents is None:
            return
        try:
            parsed = self._parse(contents)
        except OperatorError as error:
            if not self.changes.have_moved_on():
                self.changes.refuse(str(error))
            return
        if not self.changes.have_moved_on():
            self.value = parsed.value
            self.changes.use(parsed.warnings)


class _Looking(Protocol):
    def look(self) -> None: ...


async def follow(files: _Looking) -> NoReturn:
    """Look at files again and again, until cancelled."""
    while True:
        await asyncio.sleep(PERIOD_S)
        await asyncio.to_thread(files.look)


async def follow_current[T](
    current: Callable[[], Followed[T]], on_change: Callable[[], None] = lambda: None
) -> NoReturn:
    """Look at files again and again, until cancelled.

    current: tells which ones, at every look. on_change: is called, on the event loop, when they say something
    new.
    """
    while True:
        await asyncio.sleep(PERIOD_S)
        followed = current()
        if not followed.paths:
            continue
        before = followed.value
        await asyncio.to_thread(followed.look)
        if followed.value is not before:
            on_change()


def _shape_of(file: FollowedFile) -> _Shape:
    try:
        return _shape(file.path.stat())
    except OSError as error:
        return str(error.strerror)


def _shape(status: os.stat_result) -> _Shape:
    # The time of change notices what keeps size and time of modification, as `cp --preserve` does.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read_all(files: Sequence[FollowedFile]) -> tuple[FileContent, ...] | None:
    """Read files as they were at one moment; None if one changed meanwhile. Raises UnusableFileError."""
    read = [_read(file) for file in files]
    if any(_shape_of(file) != shape for file, (shape, _) in zip(files, read, strict=True)):
        return None
    return tuple(content for _, content in read)


def _read(file: FollowedFile) -> tuple[_Shape, FileContent]:
    try:
        # A pipe in the place of a file must not be waited for.
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnusableFileError(f"can't read {file.called}: it is not a regular file")
            if status.st_mode & stat.S_IWOTH:
                raise UnusableFileError(
                    f"can't trust {file.called}: every user of this machine may write to it; chmod o-w"
                )
            with os.fdopen(descriptor, "rb", closefd=False) as opened:
                content = opened.read(file.bytes_max + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnusableFileError(f"can't read {file.called}: {error.strerror}") from error
    if len(content) > file.bytes_max:
        raise UnusableFileError(f"can't read {file.called}: it is longer than {file.bytes_max:,} bytes")
    return _shape(status), FileContent(content, status.st_mode)


def _digest(contents: Sequence[FileContent]) -> bytes:
    digest = sha256()
    for each in contents:
        # Permissions are warned of, so that their change is one.
        digest.update(b"%d:%d:" % (each.mode, len(each.content)))
        digest.update(each.content)
    return digest.digest()
