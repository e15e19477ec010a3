"""Opening a spool file, in whatever state it is found.

What is damaged is never waited for and never thrown away: the file is set aside under a name with the time,
what can still be read goes on in a new one, and the log says so.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import uuid_utils

from phoebe_addon.spool.file import (
    SCHEMA,
    Admitted,
    DamageError,
    SpoolBusyError,
    SpoolError,
    SpoolFile,
    check_format,
    is_damage,
    write_format,
)
from phoebe_addon.spool.replacement import beside, fill_replacement, log_of
from phoebe_addon.spool.safety import make_file
from phoebe_addon.spool.salvage import FILE_START, PAGE_SIZE, log_is_damaged
from phoebe_addon.spool.sealed_record import DamagedRecordError, unseal
from phoebe_runtime.counts import counted

logger = logging.getLogger(__name__)

# A file that is to take the place of a damaged one, and one that is not complete.
_REPLACEMENT = ".replacement"
_DRAFT = ".new"


def open_file(path: Path) -> SpoolFile:
    """Open a spool file, or make it; what it holds of exchanges cut off become events.

    A damaged one is set aside and replaced by one with what can be read. Raises SpoolBusyError,
    UnknownFormatError, or SpoolError when the disk or the folder can't be used.
    """
    with _as_spool_errors(path):
        _finish_replacing(path)
        if not is_there(path):
            _make(path, _put_nothing)
        try:
            _check_bytes(path)
            return _open_sound(path)
        except DamageError as error:
            return replace_file(path, str(error))


def replace_file(
    path: Path,
    damage: str,
    under_way: Mapping[str, Admitted] | None = None,
    installation: str | None = None,
) -> SpoolFile:
    """Set a damaged file aside and open a new one with what can be read.

    under_way: by request id, exchanges that have not ended: they stay admitted. None: all have been cut off.
    installation: the one that it belongs to; None: what the file says. Raises SpoolError, and leaves the
    damaged file where it is then.
    """
    logger.critical("phoebe: the spool file %s is damaged: %s", path, damage)
    recovered = 0

    def fill(new: SpoolFile) -> None:
        nonlocal recovered
        recovered = fill_replacement(path, new, under_way or {}, installation)

    with _as_spool_errors(path):
        _make(beside(path, _REPLACEMENT), fill)
        aside = _finish_replacing(path)
        try:
            opened = _open_sound(path, recover=under_way is None)
        except DamageError as error:
            raise SpoolError(f"the spool file {path} was damaged again at once: {error}") from error
    opened.damage, opened.recovered = damage, recovered
    logger.critical(
        "phoebe: the damaged spool file is kept as %s; read from it: %s, lost: %d",
        *(aside, counted(opened.waiting_count, "event"), opened.lost_before),
    )
    if opened.waiting_count and opened.installation is None:
        logger.critical("phoebe: to which installation those events belong can't be read from it")
    return opened


def is_there(path: Path) -> bool:
    """Whether there is a spool file of this name, or what is left of one."""
    return any(beside(path, name).exists() for name in ("", "-wal", _REPLACEMENT))


def kept_beside(path: Path) -> list[Path]:
    """Return where something may be that is kept beside a spool file, its lock aside."""
    files = ("", _REPLACEMENT, _DRAFT, _REPLACEMENT + _DRAFT)
    names = [of + log for of in files for log in ("-wal", "-shm", "-journal", "")]
    return [beside(path, name) for name in names if name]


def remove_file(path: Path) -> None:
    """Remove a spool file and what is kept beside it, without what is to take its place."""
    drafts = [f"{of}{_DRAFT}{log}" for of in ("", _REPLACEMENT) for log in ("", "-wal", "-journal")]
    for name in ("-wal", "-shm", "-journal", *drafts, ""):
        beside(path, name).unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a spool file, so that it is one no more. Returns its new name."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for name in ("-wal", "-journal", ""):
        with suppress(FileNotFoundError):
            beside(path, name).rename(beside(aside, name))
    return aside


@contextmanager
def _as_spool_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpoolError(f"the spool folder {path.parent} can't be used: {error}") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise SpoolBusyError(f"the spool file {path} is in use by another process") from error
        raise SpoolError(f"the spool file {path} can't be opened: {error}") from error


def _make(path: Path, fill: Callable[[SpoolFile], None]) -> None:
    """Make a spool file of a new producer. It has its name only once all is in it and on the disk."""
    draft = beside(path, _DRAFT)
    remove_file(draft)
    make_file(draft)  # SQLite gives the files beside it the same mode
    connection = _connect(draft)
    try:
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, False)
        connection.execute("BEGIN")
        for statement in SCHEMA.split(";")[:-1]:
            connection.execute(statement)
        write_format(connection)
        connection.execute("COMMIT")
        new = SpoolFile(draft, connection, str(uuid_utils.uuid7()), 0, 0)
        with new.transaction():
            new.put_producer()
            fill(new)
        busy, pages, moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy or pages != moved:
            raise SpoolError(f"the spool file {path} can't be made: the disk does not take it")
    finally:
        connection.close()
    draft.replace(path)
    _sync_folder(path.parent)


def _connect(path: Path) -> sqlite3.Connection:
    """Connect to a file so that closing it leaves it as it is, damaged or not."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
    # One process at a time; with it the write-ahead log needs no shared memory. FULL: a commit is on disk.
    # secure_delete: what is deleted does not come back from the free space of a damaged file.
    for pragma in (
        f"page_size = {PAGE_SIZE}",
        "locking_mode = EXCLUSIVE",
        "journal_mode = WAL",
        "synchronous = FULL",
        "secure_delete = ON",
    ):
        try:
            connection.execute(f"PRAGMA {pragma}")
        except (sqlite3.Error, UnicodeDecodeError):
            connection.close()
            raise
    return connection


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_bytes(path: Path) -> None:
    """Check what SQLite does not: it ignores a file's or a log's beginning, or takes it for another kind."""
    if not path.exists():
        raise DamageError("it is gone, and its write-ahead log is not")
    with path.open("rb") as file:
        start = file.read(len(FILE_START))
    if start != FILE_START and not beside(path, "-journal").exists():
        raise DamageError("it does not begin as a file of SQLite does")
    if log_is_damaged(log_of(path)):
        raise DamageError("its write-ahead log has a checksum that does not fit")


def _open_sound(path: Path, *, recover: bool = True) -> SpoolFile:
    """Open a file that must be sound. Raises DamageError if it is not, and leaves it as it was then."""
    try:
        connection = _connect(path)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise (DamageError(str(error)) if is_damage(error) else error) from error
    try:
        opened = _read_sound(path, connection)
        if recover:
            _recover(opened)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, False)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        connection.close()
        raise (DamageError(str(error)) if is_damage(error) else error) from error
    except BaseException:
        connection.close()
        raise
    return opened


def _read_sound(path: Path, connection: sqlite3.Connection) -> SpoolFile:
    check_format(path, connection)
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DamageError(found)
    row = connection.execute("SELECT CAST(record AS BLOB) FROM producer").fetchone()
    try:
        producer = unseal(row[0] if row else b"")
    except DamagedRecordError as error:
        raise DamageError(f"the record of its producer: {error}") from None
    opened = SpoolFile(path, connection, producer.producer_id, producer.number, int(producer.content))
    try:
        opened.installation = opened.read_installation()
    except DamagedRecordError as error:
        raise DamageError(f"the record of its installation: {error}") from None
    opened.stopped = producer.time_us == 1
    opened.waiting_count = connection.execute("SELECT count(*) FROM waiting").fetchone()[0]
    opened.lost_before = sum(int(record.content) for _, record in opened.departed())
    return opened


def _recover(file: SpoolFile) -> None:
    """Make events of the exchanges that were under way."""
    rows = file.connection.execute("SELECT CAST(record AS BLOB) FROM admitted ORDER BY id").fetchall()
    if not rows:
        return
    with file.transaction():
        for (sealed,) in rows:
            try:
                record = unseal(sealed)
            except DamagedRecordError:
                logger.critical("phoebe: an admission in the spool file %s is damaged", file.path)
                file.quarantine_content(sealed)
            else:
                file.append(record.time_us, record.content)
                file.recovered += 1
        file.connection.execute("DELETE FROM admitted")


def _put_nothing(_: SpoolFile) -> None:
    return


def _finish_replacing(path: Path) -> Path | None:
    """Let a file that was made to replace a damaged one take its place. Returns what that is called now."""
    replacement = beside(path, _REPLACEMENT)
    if not replacement.exists():
        return None
    aside = set_aside(path)
    replacement.rename(path)
    _sync_folder(path.parent)
    return aside
