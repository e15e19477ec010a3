"""Times in events: what is written down is what protobuf itself would write."""

from datetime import UTC, datetime, timedelta, timezone

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.exchange.event import put_time

minutes = st.integers(-23 * 60, 23 * 60).map(lambda number: timedelta(minutes=number))
zones = st.builds(timezone, minutes) | st.just(UTC)


@given(st.datetimes(timezones=zones))
def test_a_time_is_written_down_as_protobuf_would(time: datetime) -> None:
    ours, theirs = Timestamp(), Timestamp()
    put_time(ours, time)
    theirs.FromDatetime(time)

    assert ours == theirs
