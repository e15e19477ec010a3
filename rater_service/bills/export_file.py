"""Where an export goes: a file that is there as a whole or not at all, or standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rater_service.errors import OperatorError


class CannotWriteError(OperatorError):
    """What is written could not be kept: the disk is full, the reader is gone, …"""

    def __init__(self, target: str, error: OSError) -> None:
        super().__init__(f"can't write {target}: {error.strerror or error}")


@contextmanager
def whole_file(path: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a file that gets its name only when all is written, and otherwise leaves no trace.

    A file that is there is replaced in one step with `overwrite`, otherwise refused. Raises OperatorError.
    """
    if path.exists() and not overwrite:
        raise _already_there(path)
    # In the same folder, so that giving it its name is one step.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        file = part.open("xb")
    except OSError as error:
        raise CannotWriteError(str(path), error) from error
    try:
        with file:
            yield file
            _keep(file, path)
        _give_name(part, path, overwrite)
    finally:
        part.unlink(missing_ok=True)


def _keep(file: BinaryIO, path: Path) -> None:
    try:
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise CannotWriteError(str(path), error) from error


def _give_name(part: Path, path: Path, overwrite: bool) -> None:
    try:
        if overwrite:
            part.replace(path)
        else:
            # Unlike renaming, this does not replace a file that came meanwhile.
            path.hardlink_to(part)
    except FileExistsError:
        raise _already_there(path) from None
    except OSError as error:
        raise CannotWriteError(str(path), error) from error


def _already_there(path: Path) -> OperatorError:
    return OperatorError(f"{path} is there already; --force replaces it")


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Give standard output for bytes."""
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except (CannotWriteError, BrokenPipeError) as error:
        # Python would try once more to write what is left when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, OSError):
            raise CannotWriteError("to standard output", error) from error
        raise
