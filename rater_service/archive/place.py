"""Where an archive stands: in a folder, or in a bucket of a service that speaks S3."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pyarrow import NativeFile, fs

from rater_service.archive.files import FileState
from rater_service.errors import OperatorError

_READ_BYTES = 1 << 20
_BUCKET = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/[^/?#@]+)*)/?")
# Whoever waits wants to know it soon; the library tries again by itself.
_CONNECT_TIMEOUT_S = 10
_REQUEST_TIMEOUT_S = 60
_ATTEMPTS = 3


class Place(Protocol):
    """A folder or bucket. Names are relative, with slashes. All raise OperatorError for what fails there."""

    @property
    def url(self) -> str:
        """How it is named in options and in the database. It holds no secret."""
        ...

    def open(self, name: str) -> NativeFile:
        """Open a file to be read, anywhere in it."""
        ...

    def size(self, name: str) -> int | None:
        """Say how many bytes a file has; None: there is none."""
        ...

    def put(self, local: Path, name: str) -> None:
        """Give a file what a local one has, in one step: others see the old content, or all of the new.

        It stands there for good when this returns.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a file."""
        ...


def place_of(url: str) -> Place:
    """Say where an archive stands. url: a folder, or s3://BUCKET/PREFIX. Raises OperatorError."""
    if not url.startswith("s3:"):
        if "://" in url:
            raise OperatorError(
                f"{url.partition('://')[0]}:// is no archive: name a folder, or s3://BUCKET/PREFIX"
            )
        return _Folder(Path(url).absolute())
    found = _BUCKET.fullmatch(url)
    if found is None:
        # What is wrong with it may be a secret.
        raise OperatorError(
            "the archive's URL is not s3://BUCKET/PREFIX, without anything else: keys are in "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or where AWS tools look for them; another service "
            "than AWS is in AWS_ENDPOINT_URL"
        )
    return _Bucket(f"{found['bucket']}{found['prefix']}")


def state_of(place: Place, name: str) -> FileState:
    """Read a file and say what is in it. Raises OperatorError."""
    digest, size = hashlib.sha256(), 0
    with explained(place, name, "read"), place.open(name) as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
            size += len(data)
    return FileState(digest.hexdigest(), size)


def local_state(path: Path) -> FileState:
    """Say what is in a local file."""
    with path.open("rb") as file:
        return FileState(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


@contextmanager
def explained(place: Place, name: str, what: str) -> Iterator[None]:
    """Say where it was that something failed. what: what could not be done with the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise OperatorError(f"the archive {place.url} has no file {name}") from error
    except OSError as error:
        raise OperatorError(f"{name} of the archive {place.url} can't be {what}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path

    @property
    def url(self) -> str:
        return str(self.path)

    def open(self, name: str) -> NativeFile:
        with explained(self, name, "read"):
            return fs.LocalFileSystem().open_input_file(str(self.path / name))

    def size(self, name: str) -> int | None:
        with explained(self, name, "read"):
            try:
                return (self.path / name).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def put(self, local: Path, name: str) -> None:
        path = self.path / name
        draft = path.with_name(f".{path.name}.part")
        with explained(self, name, "written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with local.open("rb") as source, draft.open("wb") as target:
                    shutil.copyfileobj(source, target, _READ_BYTES)
                    target.flush()
                    os.fsync(target.fileno())
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            for folder in (path.parent, self.path):
                _sync_folder(folder)

    def remove(self, name: str) -> None:
        with explained(self, name, "removed"):
            (self.path / name).unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Bucket:
    """A part of a bucket. Keys, region and endpoint are where all programs for AWS have them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.url = f"s3://{path}"
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
        with explained(self, "", "reached"):
            self._files = fs.S3FileSystem(
                endpoint_override=endpoint,
                connect_timeout=_CONNECT_TIMEOUT_S,
                request_timeout=_REQUEST_TIMEOUT_S,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
            )

    def open(self, name: str) -> NativeFile:
        with explained(self, name, "read"):
            return self._files.open_input_file(f"{self._path}/{name}")

    def size(self, name: str) -> int | None:
        with explained(self, name, "read"):
            info = self._files.get_file_info(f"{self._path}/{name}")
        return info.size if info.type is fs.FileType.File else None

    def put(self, local: Path, name: str) -> None:
        # The object is there when the upload is complete, and not before; one that is cut short is none.
        with explained(self, name, "written"):
            fs.copy_files(
                str(local),
                f"{self._path}/{name}",
                source_filesystem=fs.LocalFileSystem(),
                destination_filesystem=self._files,
                chunk_size=_READ_BYTES,
                use_threads=False,
            )

    def remove(self, name: str) -> None:
        with explained(self, name, "removed"):
            self._files.delete_file(f"{self._path}/{name}")
