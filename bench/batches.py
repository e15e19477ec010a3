"""Batches of metering events, ready to be sent: as a rater takes them and as rows for the table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import uuid_utils
from google.protobuf.timestamp_pb2 import Timestamp

from bench.engine import MODEL
from phoebe_proto.v1.metering_pb2 import MeteringEvent, ProducerStatus, StreamEventsRequest

# What the addon sends at most in one request.
BATCH_EVENTS = 500
COMPLETION_TOKENS = 180
PRODUCER_ID = "01930000-0000-7000-8000-000000000001"
CUSTOMERS = "auth"
TIMES = frozenset({"event_time", "start_time", "first_byte_time"})

type Fields = Mapping[str, object]
"""What an event says, by the names of the columns; times as aware datetimes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The same events twice. request: a serialized StreamEventsRequest. rows: in the order of `columns`."""

    request: bytes
    rows: list[tuple[object, ...]]


def make_batch(  # noqa: PLR0913 - one for each thing that can be other than usual
    first_seq: int,
    now: datetime,
    producer_id: str = PRODUCER_ID,
    customers: str = CUSTOMERS,
    count: int = BATCH_EVENTS,
    *,
    spread: timedelta = timedelta(),
) -> Batch:
    """Make so many events with new ids, numbered from `first_seq`, of exchanges that ended just now.

    customers: what their names begin with. spread: in how long a time up to now they ended, one after the
    other.
    """
    events = [
        _event(first_seq + place, now - (count - place) * spread / count, producer_id, customers)
        for place in range(count)
    ]
    last_seq = first_seq + count - 1
    status = ProducerStatus(
        producer_id=producer_id,
        last_seq=last_seq,
        spooled_events=count,
        open_exchanges=16,
        complete_until=_timestamp(now),
    )
    request = StreamEventsRequest(
        batch_id=str(first_seq), events=[_message(event) for event in events], status=status
    )
    rows = [
        (UUID(str(event["request_id"])), *(event[name] for name in COLUMNS[1:-1]), now) for event in events
    ]
    return Batch(request.SerializeToString(), rows)


def _event(seq: int, now: datetime, producer_id: str, customers: str) -> Fields:
    usage = {
        "prompt_tokens": 1000 + seq % 500,
        "total_tokens": 1000 + seq % 500 + COMPLETION_TOKENS,
        "completion_tokens": COMPLETION_TOKENS,
        "prompt_tokens_details": {"cached_tokens": seq % 100},
    }
    return {
        "request_id": str(uuid_utils.uuid7()),
        "client_request_id": f"req-{seq}",
        "producer_id": producer_id,
        "producer_seq": seq,
        "auth_id": f"{customers}-{seq % 20}",
        "user_id": f"user-{seq % 50}@example.org",
        "group_id": f"group-{seq % 5}",
        "resource_id": f"deployment-{seq % 7}",
        "resource_type": "inference",
        "base_model": MODEL,
        "model_id": MODEL,
        "requested_model": MODEL,
        "api": "openai.chat",
        "prompt_tokens": usage["prompt_tokens"],
        "cached_tokens": seq % 100,
        "completion_tokens": COMPLETION_TOKENS,
        "usage_found": True,
        "usage_raw": json.dumps(usage),
        "outcome": "completed",
        "status_code": 200,
        "finish_reason": "stop",
        "streamed": True,
        "model_untrusted": False,
        "answer_bytes": 9000 + seq % 3000,
        "part_count": 0,
        "usage_partial": False,
        "model_echoed": False,
        "event_time": now,
        "start_time": now - timedelta(seconds=2),
        "first_byte_time": now - timedelta(seconds=1, microseconds=seq % 1000),
    }


COLUMNS = (*_event(1, datetime.now(UTC), PRODUCER_ID, CUSTOMERS), "stored_at")
"""The columns of `billing_event` that the rows have; the others are NULL."""


def _message(event: Fields) -> MeteringEvent:
    given = {
        name: _timestamp(value) if isinstance(value, datetime) else value for name, value in event.items()
    }
    return MeteringEvent(**given)  # type: ignore[arg-type] # the names are the contract's


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
