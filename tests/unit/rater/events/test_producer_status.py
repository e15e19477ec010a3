from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1.metering_pb2 import ProducerStatus
from rater_service.events.producer_status import InvalidStatus, StatusRow, validate_status

NOW = datetime.fromtimestamp(1_800_000_060, UTC)


def test_a_status_becomes_a_row_in_all_its_fields() -> None:
    status = ProducerStatus(
        producer_id="spool-1",
        last_seq=9,
        spooled_events=4,
        open_exchanges=2,
        complete_until=Timestamp(seconds=1_800_000_000, nanos=1_999),
        stopped=True,
        lost_rows=3,
        sent_at=Timestamp(seconds=1_800_000_002),
        name="gateway-0",
        version="9.8.7",
    )
    assert {field.name for field, _ in status.ListFields()} == set(ProducerStatus.DESCRIPTOR.fields_by_name)
    moment = datetime.fromtimestamp(1_800_000_000, UTC).replace(microsecond=1)
    assert validate_status(status, NOW) == StatusRow(
        "spool-1", 9, 4, 2, moment, True, 3, timedelta(seconds=-58), "gateway-0", "9.8.7"
    )


def test_a_time_that_is_absent_is_not_known() -> None:
    row = validate_status(ProducerStatus(producer_id="p"), NOW)
    assert row == StatusRow("p", 0, 0, 0, None, False, 0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"producer_id": ""}, "producer_id: must be 1 to 64 characters"),
        ({"producer_id": "x" * 65}, "producer_id: must be 1 to 64 characters"),
        ({"producer_id": "a\0"}, "producer_id: must not contain the character NUL"),
        ({"last_seq": -1}, "last_seq: must be 0 to 2^53"),
        ({"spooled_events": -1}, "spooled_events: must be 0 to 2^53"),
        ({"open_exchanges": -1}, "open_exchanges: must be 0 to 2^53"),
        ({"lost_rows": -1}, "lost_rows: must be 0 to 2^53"),
        ({"complete_until": Timestamp(seconds=2**62)}, "complete_until: is not a time"),
        ({"complete_until": Timestamp(nanos=-1)}, "complete_until: is not a time"),
        ({"complete_until": Timestamp(seconds=0)}, "complete_until: must be within the years 2000 to 2099"),
        ({"name": "a\nb"}, "name: must be at most 64 printable ASCII characters"),
        ({"name": "a" * 65}, "name: must be at most 64 printable ASCII characters"),
        ({"version": "a\nb"}, "version: must be at most 64 printable ASCII characters"),
        ({"version": "a" * 65}, "version: must be at most 64 printable ASCII characters"),
        ({"sent_at": Timestamp(nanos=-1)}, "sent_at: is not a time"),
        ({"sent_at": Timestamp(seconds=0)}, "sent_at: must be within the years 2000 to 2099"),
    ],
)
def test_a_status_that_breaks_a_rule_is_invalid_and_says_why(fields: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"producer_id": "p"} | fields
    invalid = validate_status(ProducerStatus(**given), NOW)  # type: ignore[arg-type]
    assert isinstance(invalid, InvalidStatus)
    assert invalid.reason.startswith(said)


def test_all_faults_are_told_at_once() -> None:
    invalid = validate_status(ProducerStatus(last_seq=-1, lost_rows=-1), NOW)
    assert isinstance(invalid, InvalidStatus)
    assert invalid.reason.count(";") == 2
