"""What tests put into a spool and find in it."""

from datetime import UTC, datetime
from pathlib import Path

from phoebe_addon.spool.spool import Spool
from phoebe_proto.v1.metering_pb2 import MeteringEvent

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


def event(request_id: str, outcome: str = "completed", size: int = 0, time: datetime = NOW) -> bytes:
    """Make the event of an exchange. size: bytes of usage in it."""
    message = MeteringEvent(request_id=request_id, outcome=outcome, usage_raw="u" * size)
    message.event_time.FromDatetime(time)
    return message.SerializeToString()


async def admit(spool: Spool, request_id: str, time: datetime = NOW) -> None:
    await spool.admit(request_id, event(request_id, "proxy_error", time=time), time)


def finish(spool: Spool, request_id: str, size: int = 0, time: datetime = NOW) -> None:
    """End an exchange and wait until its event is on disk."""
    spool.block_until_durable(spool.finish(request_id, [event(request_id, size=size, time=time)], time), 10)


def waiting(spool: Spool) -> list[tuple[int, str, str]]:
    """Number, request id and outcome of all events in a spool."""
    found = []
    for spooled in spool.read(100_000):
        message = MeteringEvent.FromString(spooled.event)
        found.append((spooled.producer_seq, message.request_id, message.outcome))
    return found


def spool_file(folder: Path) -> Path:
    """Return the one spool file in a folder."""
    (path,) = folder.glob("spool*.sqlite3")
    return path


def damaged_files(folder: Path) -> list[Path]:
    """Return the files that were set aside, without their logs."""
    return sorted(path for path in folder.glob("*.damaged-*") if not path.name.endswith("-wal"))
