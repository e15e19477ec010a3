"""The rules of a producer's status: a message from the wire becomes a row, or a list of its faults."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1.metering_pb2 import ProducerStatus
from rater_service.events.validation import PRODUCER_SEQ_MAX, TEXT_LENGTH_MAX, TIME_END, TIME_MIN
from rater_service.wire_time import to_datetime

NAME_LENGTH_MAX = 64
VERSION_LENGTH_MAX = 64
COUNTS = ("last_seq", "spooled_events", "open_exchanges", "lost_rows")
TIMES: tuple[Literal["complete_until", "sent_at"], ...] = ("complete_until", "sent_at")


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A valid status: how a spool stood when it was sent.

    last_seq: the highest number given so far, 0 for none. complete_until is UTC-aware; None: it can't say.
    clock_skew: the producer's clock less the rater's; None: it did not say what its clock says. name: what
    people call the proxy; None: it did not say. version: of Phoebe, of what sent it; None: it did not say.
    """

    producer_id: str
    last_seq: int
    spooled_events: int
    open_exchanges: int
    complete_until: datetime | None
    stopped: bool
    lost_rows: int
    clock_skew: timedelta | None = None
    name: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class InvalidStatus:
    """Why a status can't be kept: every field that breaks a rule, and which rule."""

    reason: str


def validate_status(status: ProducerStatus, received_at: datetime) -> StatusRow | InvalidStatus:
    """Check all rules of the status's fields and convert it; never raises.

    received_at: when it came, UTC-aware.
    """
    faults = list(_faults(status))
    if faults:
        return InvalidStatus("; ".join(faults))
    return StatusRow(
        producer_id=status.producer_id,
        last_seq=status.last_seq,
        spooled_events=status.spooled_events,
        open_exchanges=status.open_exchanges,
        complete_until=to_datetime(status.complete_until) if status.HasField("complete_until") else None,
        stopped=status.stopped,
        lost_rows=status.lost_rows,
        clock_skew=to_datetime(status.sent_at) - received_at if status.HasField("sent_at") else None,
        name=status.name or None,
        version=status.version or None,
    )


def _faults(status: ProducerStatus) -> Iterator[str]:
    length_max = TEXT_LENGTH_MAX["producer_id"]
    if not 0 < len(status.producer_id) <= length_max:
        yield f"producer_id: must be 1 to {length_max} characters"
    if "\0" in status.producer_id:
        yield "producer_id: must not contain the character NUL"
    for field, text, length_max in (
        ("name", status.name, NAME_LENGTH_MAX),
        ("version", status.version, VERSION_LENGTH_MAX),
    ):
        if len(text) > length_max or not text.isascii() or not text.isprintable():
            yield f"{field}: must be at most {length_max} printable ASCII characters"
    for field in COUNTS:
        if not 0 <= getattr(status, field) <= PRODUCER_SEQ_MAX:
            yield f"{field}: must be 0 to 2^53"
    for field in TIMES:
        if status.HasField(field):
            yield from _time_faults(field, getattr(status, field))


def _time_faults(field: str, wire: Timestamp) -> Iterator[str]:
    try:
        moment = to_datetime(wire)
    except ValueError as error:
        yield f"{field}: is not a time: {error}"
        return
    if not TIME_MIN <= moment < TIME_END:
        yield f"{field}: must be within the years 2000 to 2099"
