"""The fast lane: whichever way the pieces of an answer go, client, event and layers can't tell."""

import asyncio
import gc
import socket
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import override

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy import http

from phoebe_addon.answer.removal import Removal
from phoebe_addon.apis.families.openai_chat import STREAM_USAGE
from phoebe_addon.exchange.exchange import EngineFailure
from phoebe_addon.proxy.fast_lane import Ends, FastLane, lane_of
from phoebe_addon.proxy.guard import exchange_of
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from tests.harness.content_codings import encode
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.exchanges import PASSED, admission
from tests.harness.playbook import ENGINE, HookAction, guarded
from tests.unit.addon.proxy.test_leaving import ASK, END, OK, STREAM_HEAD, Metered, chunk

WHOLE = VLLM + VLLM_USAGE + DONE
BEGINNING = chunk(b": it begins\n\n")  # the first bytes tell whether a body is read in turns
EVENTS = [event + b"\n\n" for event in WHOLE.split(b"\n\n") if event]


class Wire(asyncio.Transport):
    """The transport of a connection. write: what writing does."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._write = write
        self.protocol: asyncio.BaseProtocol | None = None
        self.waiting = 0
        self.closing = False

    @override
    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self.protocol
        return self.protocol

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._write(bytes(data))

    @override
    def get_write_buffer_size(self) -> int:
        return self.waiting

    @override
    def is_closing(self) -> bool:
        return self.closing

    def brings(self, data: bytes) -> None:
        protocol = self.protocol
        assert isinstance(protocol, asyncio.Protocol)
        protocol.data_received(data)

    def ends(self) -> None:
        protocol = self.protocol
        assert isinstance(protocol, asyncio.Protocol)
        protocol.eof_received()


class Stand(Metered):
    """A client and an engine. has_lane: whether the fast lane is opened where it can be.

    lane_writes: what the lane wrote to the client. spoke: how often it told that something had come.
    """

    def __init__(self, *, has_lane: bool, asked_by_phoebe: bool = False) -> None:
        super().__init__()
        if asked_by_phoebe:
            self.actions["request"] = _admit_and_ask
        self._has_lane = has_lane
        self.lane_writes: list[bytes] = []
        self.spoke = 0
        self.ends = Ends(Wire(lambda _data: None), Wire(self._lane_writes))
        self.ends.engine.set_protocol(_Layers(self))
        self.sends(ASK)
        self.written(self.engine)

    @property
    def wire(self) -> Wire:
        assert isinstance(self.ends.engine, Wire)
        return self.ends.engine

    @property
    def in_lane(self) -> bool:
        return isinstance(self.wire.protocol, FastLane)

    def open_lane(self) -> None:
        """Do as the handler of the connection does after all that was read."""
        streams = list(self.layer.streams.values())
        if self._has_lane and streams and self.stream.server_state == self.stream.state_stream_response_body:
            lane = lane_of(self.stream, self.ends, self._note)
            if lane:
                lane.enter()

    def _note(self) -> None:
        self.spoke += 1

    def _lane_writes(self, data: bytes) -> None:
        self.lane_writes.append(data)
        self.writes.setdefault(self.client, []).append(data)


def _admit_and_ask(flow: http.HTTPFlow) -> None:
    """Admit an exchange whose usage only Phoebe asked for: what comes of that is taken out."""
    exchange = exchange_of(flow)
    assert exchange
    exchange.pass_head(PASSED)
    exchange.admit(replace(admission(), removal=Removal((STREAM_USAGE,))))
    flow.request.scheme = "http"
    flow.request.host, flow.request.port = ENGINE


class _Layers(asyncio.Protocol):
    """What the transport calls when the fast lane is not open: mitmproxy's layers."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand

    @override
    def data_received(self, data: bytes) -> None:
        self._stand.sends(data, self._stand.engine)
        self._stand.open_lane()

    @override
    def eof_received(self) -> bool:
        self._stand.leaves(self._stand.engine)
        return True


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(map(chunk, pieces))


def heads_of_chunks(data: bytes) -> bytes:
    """Frame one chunk in another way that HTTP allows."""
    return b"00%X;a=b\r\n%s\r\n" % (len(data), data)


framings = st.sampled_from(("chunked", "otherwise chunked", "length", "close"))
bodies = st.lists(st.sampled_from(EVENTS) | st.binary(min_size=1, max_size=40), min_size=1, max_size=8)
endings = st.sampled_from(("whole", "broken off", "trailers", "nonsense"))


def answer_of(framing: str, pieces: list[bytes], ending: str) -> bytes:
    body = b"".join(pieces)
    if framing == "length":
        head = OK + b"Content-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
        return head + (body if ending == "whole" else body[:-1])
    if framing == "close":
        return OK + b"Content-Type: text/event-stream\r\nConnection: close\r\n\r\n" + body
    frame = chunk if framing == "chunked" else heads_of_chunks
    last = {"whole": END, "broken off": b"", "trailers": b"0\r\nA: b\r\n\r\n", "nonsense": b"zz\r\n"}[ending]
    return STREAM_HEAD + b"".join(map(frame, pieces)) + last


def played(told: "Told", *, has_lane: bool) -> tuple[object, ...]:
    """Play an answer; return what the client got, the events, and what became of the connections."""
    head, end, body = answer_of(told.framing, told.pieces, told.ending).partition(b"\r\n\r\n")
    with guarded():
        stand = Stand(has_lane=has_lane, asked_by_phoebe=told.asked_by_phoebe)
        for number, piece in enumerate((head + end, *cut(body, told.places))):
            if number == told.client_leaves_after:
                stand.leaves()
            stand.wire.brings(piece)
        stand.wire.ends()
        return (
            stand.written(),
            [without_times(event) for event in stand.events],
            stand.hooks,
            [connection is stand.client for connection in stand.closed],
        )


def without_times(event: MeteringEvent) -> MeteringEvent:
    event.ClearField("start_time")
    event.ClearField("event_time")
    event.ClearField("first_byte_time")
    return event


def cut(body: bytes, places: list[int]) -> list[bytes]:
    """Cut a body at places, which count from its beginning again and again."""
    marks = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[begin:end] for begin, end in pairwise(marks) if begin < end]


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: how it is framed, its pieces, how it ends, where it is cut, and when its client leaves."""

    framing: str
    pieces: list[bytes]
    ending: str
    places: list[int]
    asked_by_phoebe: bool
    client_leaves_after: int | None


answers = st.builds(
    Told,
    framings,
    bodies,
    endings,
    st.lists(st.integers(0, 4000), max_size=12),
    st.booleans(),
    st.none() | st.integers(0, 12),
)


@given(answers)
@example(Told("chunked", EVENTS, "whole", [], asked_by_phoebe=True, client_leaves_after=None))
@example(Told("length", EVENTS, "whole", [], asked_by_phoebe=False, client_leaves_after=None))
@example(Told("length", EVENTS, "whole", [100, 300], asked_by_phoebe=False, client_leaves_after=None))
@example(Told("close", EVENTS, "whole", [100, 300], asked_by_phoebe=True, client_leaves_after=2))
def test_nobody_can_tell_which_way_an_answer_went(told: Told) -> None:
    assert played(told, has_lane=True) == played(told, has_lane=False)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(b"1", b"5\r\nhello\r\n" + b"x" * 14 + b"\r\n", id="within the length"),
        pytest.param(b"1a\r\n" + b"x" * 16, b"5\r\nhello\r\n\r\n", id="before what looks like a chunk"),
        pytest.param(b"5\r\nhello\r", b"\n" + chunk(b"world"), id="within the end"),
    ],
)
def test_within_a_chunk_the_lane_is_closed(first: bytes, then: bytes) -> None:
    got = []
    for has_lane in (True, False):
        with guarded():
            stand = Stand(has_lane=has_lane)
            for piece in (STREAM_HEAD, first, then):
                stand.wire.brings(piece)
            got.append(stand.written())

    assert got[0] == got[1]
    assert got[0].count(b"\r\n\r\n") >= 1


def test_an_engine_that_speaks_in_the_lane_is_heard(stand: Stand) -> None:
    stand.stream._heard_at_s = 0.0
    stand.wire.brings(chunk(EVENTS[0]))

    assert stand.stream._heard_at_s > 0
    assert stand.spoke == 1


@pytest.fixture
def stand() -> Iterator[Stand]:
    with guarded():
        made = Stand(has_lane=True)
        made.wire.brings(STREAM_HEAD + BEGINNING)
        made.written()
        yield made


def test_the_middle_of_a_stream_is_written_in_the_call_that_brings_it(stand: Stand) -> None:
    stand.wire.brings(chunk(EVENTS[0]) + chunk(EVENTS[1]))

    assert stand.in_lane
    assert stand.lane_writes == [chunk(EVENTS[0]) + chunk(EVENTS[1])]


def test_what_is_taken_out_leaves_nothing_to_write() -> None:
    with guarded():
        stand = Stand(has_lane=True, asked_by_phoebe=True)
        stand.wire.brings(STREAM_HEAD)
        stand.wire.brings(b"".join(map(chunk, EVENTS[:-2])))
        stand.lane_writes.clear()
        stand.wire.brings(chunk(VLLM_USAGE))

        assert stand.in_lane
        assert stand.lane_writes == []


def test_a_part_of_a_chunk_goes_on_at_once_and_the_lane_opens_again_behind_it(stand: Stand) -> None:
    framed = chunk(EVENTS[0])
    stand.wire.brings(framed[:-9])
    assert stand.written() == chunk(EVENTS[0][:-7])
    stand.wire.brings(framed[-9:])

    assert stand.in_lane
    assert stand.lane_writes == []


def test_the_end_of_an_answer_is_mitmproxys_and_nothing_of_the_next_one_is_let_past(stand: Stand) -> None:
    stand.wire.brings(chunk(WHOLE) + END)
    assert not stand.in_lane
    assert len(stand.events) == 1
    stand.sends(ASK)
    stand.wire.brings(OK + b"Content-Length: 2\r\n\r\n{}")

    assert not stand.in_lane
    assert len(stand.events) == 2


@pytest.mark.parametrize("hindrance", ["waiting", "closing"])
def test_a_client_that_does_not_take_what_is_there_closes_the_lane(stand: Stand, hindrance: str) -> None:
    client = stand.ends.client
    assert isinstance(client, Wire)
    setattr(client, hindrance, 64 * 1024 + 1)
    stand.wire.brings(chunk(EVENTS[0]))

    assert stand.lane_writes == []
    assert stand.written() == chunk(EVENTS[0])


def test_a_client_that_has_left_closes_the_lane(stand: Stand) -> None:
    stand.wire.brings(chunk(EVENTS[0]))
    stand.leaves()
    stand.lane_writes.clear()
    stand.wire.brings(chunk(EVENTS[1]))

    assert not stand.in_lane
    assert stand.lane_writes == []


def test_more_than_mitmproxy_reads_at_a_time_is_left_to_it(stand: Stand) -> None:
    stand.wire.brings(chunk(b":" + b"x" * 60_000 + b"\n\n") * 2)

    assert stand.lane_writes == []
    assert len(stand.written()) > 120_000


def test_what_may_unfold_to_much_is_left_to_mitmproxy_which_can_wait() -> None:
    coded = encode("gzip", WHOLE)
    with guarded():
        stand = Stand(has_lane=True)
        stand.wire.brings(STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        stand.wire.brings(chunk(coded[:30]))
        stand.wire.brings(chunk(coded[30:]))

        assert not stand.in_lane
        assert stand.lane_writes == []
        assert stand.written().endswith(chunk(coded[:30]) + chunk(coded[30:]))


def test_while_a_hook_is_waited_for_nothing_goes_past_it(stand: Stand) -> None:
    stand.held = {"error"}
    stand.exchange.engine_failed(EngineFailure.TIMED_OUT)
    stand.leaves(stand.engine)
    stand.wire.brings(chunk(EVENTS[0]))

    assert stand.lane_writes == []


def another_watches(stand: Stand) -> None:
    response = stand.flows[-1].response
    assert response
    response.stream = lambda data: data


def addon_streams(stand: Stand) -> None:
    response = stand.flows[-1].response
    assert response
    response.stream = True


def kept(stand: Stand) -> None:
    stand.stream.context.options.store_streamed_bodies = True


def is_debugged(stand: Stand) -> None:
    stand.stream.debug = "  "


@pytest.mark.parametrize("does", [another_watches, addon_streams, kept, is_debugged])
def test_whoever_watches_an_answer_or_keeps_it_has_mitmproxys_own_way(does: Callable[[Stand], None]) -> None:
    with guarded():
        stand = Stand(has_lane=True)
        stand.actions["responseheaders"] = _then(stand.actions["responseheaders"], lambda _: does(stand))
        stand.wire.brings(STREAM_HEAD)
        stand.wire.brings(chunk(EVENTS[0]))

        assert not stand.in_lane
        assert stand.written().endswith(chunk(EVENTS[0]))


def _then(first: HookAction, then: HookAction) -> HookAction:
    def both(flow: http.HTTPFlow) -> None:
        first(flow)
        then(flow)

    return both


def test_whoever_begins_to_watch_in_the_middle_sees_the_rest(stand: Stand) -> None:
    stand.wire.brings(chunk(EVENTS[0]))
    another_watches(stand)
    stand.lane_writes.clear()
    stand.wire.brings(chunk(EVENTS[1]))

    assert stand.lane_writes == []


def test_what_comes_once_bodies_are_kept_is_kept() -> None:
    kept = []
    for has_lane in (True, False):
        with guarded():
            stand = Stand(has_lane=has_lane)
            stand.wire.brings(STREAM_HEAD + BEGINNING)
            stand.stream.context.options.store_streamed_bodies = True
            for piece in (chunk(EVENTS[0]), chunk(EVENTS[1]), END):
                stand.wire.brings(piece)
            response = stand.flows[-1].response
            assert response
            kept.append(response.raw_content)

    assert kept == [EVENTS[0] + EVENTS[1]] * 2


async def test_a_transport_that_closes_in_the_lane_is_not_kept_by_itself() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    with guarded():
        stand = Stand(has_lane=False)
        stand.wire.brings(STREAM_HEAD + BEGINNING)
        ends = Ends(writer.transport, stand.ends.client)  # type: ignore[arg-type]
        FastLane(stand.stream, ends, lambda data: ([data], len(data)), lambda: None).enter()
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0)
    transport = weakref.ref(writer.transport)
    gc.collect()
    gc.disable()
    try:
        del reader, writer, ends, ours, stand
        assert transport() is None
    finally:
        gc.enable()
        theirs.close()
