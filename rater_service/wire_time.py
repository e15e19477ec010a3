"""Times on the wire: google.protobuf.Timestamp to and from aware UTC datetimes."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOS_PER_SECOND = 1_000_000_000


def to_datetime(wire: Timestamp) -> datetime:
    """Convert to UTC; what is finer than a microsecond is cut off, so a time never leaves its hour.

    Raises ValueError for a time before year 1 or after year 9999, or with nanos outside 0 to 999,999,999.
    """
    nanos = wire.nanos
    if not 0 <= nanos < NANOS_PER_SECOND:
        raise ValueError("nanos must be 0 to 999,999,999")
    try:
        return datetime.fromtimestamp(wire.seconds, UTC).replace(microsecond=nanos // 1000)
    except (ValueError, OverflowError, OSError):
        raise ValueError("the time is not within the years 1 to 9999") from None


def to_timestamp(moment: datetime) -> Timestamp:
    """Convert an aware datetime, exactly."""
    since = moment - EPOCH
    seconds = since.days * 86_400 + since.seconds
    return Timestamp(seconds=seconds, nanos=since.microseconds * 1000)
