"""What the blocking client sends, and what it makes of an answer, seen on gRPC's own channel for tests."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.message import Message

from phoebe_client import Client, UnavailableError
from phoebe_client.connection import CHANNEL_OPTIONS
from phoebe_proto.v1.rating_pb2 import (
    DESCRIPTOR,
    RATE_MODE_ROUTINE,
    ListRatedUsageRequest,
    ListRatedUsageResponse,
    RatedUsage,
    RateWindowRequest,
    RateWindowResponse,
)
from rater_service.wire_time import to_timestamp

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
END = START + timedelta(hours=1)
SERVICE = DESCRIPTOR.services_by_name["RatingService"]
ADDED_BY_GRPC = "grpc.metadata_added_by_runtime"
OK = (grpc.StatusCode.OK, "")


class Wire:
    """The rater's end of the line. sent: the metadata and the request of each call, in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, str], Any]] = []
        self._channel = grpc_testing.channel([SERVICE], grpc_testing.strict_real_time())

    def open(self, _address: str, options: object) -> Any:
        assert options == CHANNEL_OPTIONS
        return self._channel

    def will_answer(self, method: str, *answers: Message | tuple[grpc.StatusCode, str]) -> None:
        """Answer as many calls of a method while the test makes them: with a message, or a failure."""
        # Nothing ends it if a call is not made.
        threading.Thread(target=self._answer, args=(method, answers), daemon=True).start()

    def _answer(self, method: str, answers: Sequence[Message | tuple[grpc.StatusCode, str]]) -> None:
        for answer in answers:
            metadata, request, rpc = self._channel.take_unary_unary(SERVICE.methods_by_name[method])
            told = {name: value for name, value in metadata if name != ADDED_BY_GRPC}
            # The client goes on using the same message.
            self.sent.append((told, type(request).FromString(request.SerializeToString())))
            rpc.send_initial_metadata(())
            message, failure = (answer, OK) if isinstance(answer, Message) else (None, answer)
            rpc.terminate(message, (), *failure)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setattr(grpc, "insecure_channel", wire.open)
    return wire


def rollup(number: int) -> RatedUsage:
    return RatedUsage(
        id=number,
        cost="0.000000001",
        applied_prompt_rate="0",
        applied_cached_rate="0",
        applied_completion_rate="0",
    )


def test_pages_are_asked_for_as_they_are_needed_with_the_same_filters(wire: Wire) -> None:
    wire.will_answer(
        "ListRatedUsage",
        ListRatedUsageResponse(rated_usage=[rollup(1)], next_page_token="more"),
        ListRatedUsageResponse(rated_usage=[rollup(2)]),
    )
    with Client("127.0.0.1:1", token="t0k") as client:
        assert [row.id for row in client.rated_usage(START, END, auth_id="alice")] == [1, 2]
    request = ListRatedUsageRequest(
        window_start=to_timestamp(START), window_end=to_timestamp(END), auth_id="alice", page_size=1000
    )
    assert wire.sent[0] == ({"authorization": "Bearer t0k"}, request)
    request.page_token = "more"
    assert wire.sent[1:] == [({"authorization": "Bearer t0k"}, request)]


def test_a_run_is_asked_for_as_it_was_said(wire: Wire) -> None:
    wire.will_answer("RateWindow", RateWindowResponse(run_id=7, total_cost="0.000000001"))
    with Client("127.0.0.1:1") as client:
        assert client.rate_window(START, END, dry_run=True).run_id == 7
    request = RateWindowRequest(
        window_start=to_timestamp(START), window_end=to_timestamp(END), dry_run=True, mode=RATE_MODE_ROUTINE
    )
    assert wire.sent == [({}, request)]


def test_a_call_that_fails_raises_what_it_failed_with(wire: Wire) -> None:
    wire.will_answer("RateWindow", (grpc.StatusCode.UNAVAILABLE, "the database can't be used"))
    with (
        Client("127.0.0.1:1") as client,
        pytest.raises(UnavailableError, match="the database can't be used"),
    ):
        client.rate_window(START, END)
