"""What the benchmarks' engine writes, and when."""

import asyncio
import json

from bench.engine import CHUNKS_AROUND, Steps, stream_writes


def test_a_streamed_answer_has_its_tokens_then_usage_then_done() -> None:
    writes = stream_writes(3)
    assert len(writes) == 3 + CHUNKS_AROUND
    data = [write.partition(b"data: ")[2].partition(b"\n\n")[0] for write in writes]
    chunks = [json.loads(one) for one in data[:-1]]
    assert [bool(chunk["choices"]) for chunk in chunks] == [True] * 5 + [False]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * 4 + ["stop"]
    assert chunks[-1]["usage"]["completion_tokens"] == 3
    assert data[-1] == b"[DONE]"
    assert all(200 <= len(write) <= 300 for write in writes[:-1])


def test_a_stream_with_running_usage_says_in_every_chunk_how_many_tokens_there_are_by_now() -> None:
    data = [write.partition(b"data: ")[2].partition(b"\n\n")[0] for write in stream_writes(3, running=True)]
    counts = [json.loads(one)["usage"]["completion_tokens"] for one in data[:-1]]
    assert counts == [0, 1, 2, 3, 3, 3]


class Written(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.changed = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self.changed.set()


async def test_a_stream_waits_until_its_client_has_seen_what_was_written() -> None:
    steps = Steps()
    steps.turn = range(1, 3)
    slow, other = Written(), Written()
    steps.begin(1, slow, iter([b"a", b"b"]))
    steps.begin(2, other, iter([b"x", b'"choices":[]', b"y"]))
    await other.changed.wait()
    steps.seen(2, 1)
    while len(other.writes) < 3:  # the usage chunk may never be seen: the stream does not wait for it
        other.changed.clear()
        await other.changed.wait()
    assert slow.writes == [b"a"]
    slow.changed.clear()
    steps.seen(1, 1)
    await slow.changed.wait()
    assert slow.writes == [b"a", b"b"]


async def test_a_stream_whose_connection_is_gone_is_written_no_more() -> None:
    steps = Steps()
    steps.turn = range(1, 3)
    gone, other = Written(), Written()
    steps.begin(1, gone, iter([b"a"]))
    steps.begin(2, other, iter([b"x"]))
    steps.leave(gone)
    await other.changed.wait()
    assert gone.writes == []


async def test_of_each_event_that_a_client_sees_it_is_known_how_long_it_was_on_its_way() -> None:
    steps = Steps()
    steps.turn = range(1, 2)
    line = Written()
    steps.begin(1, line, iter([b'"choices":[]', b"b"]), written=1)
    first = steps.seen(1, 1)
    while len(line.writes) < 2:
        line.changed.clear()
        await line.changed.wait()
    second = steps.seen(1, 2)  # what may have been taken out on the way, and the last
    assert [len(first), len(second)] == [1, 1]
    assert min(first + second) >= 0
    assert steps.seen(2, 1) == []
