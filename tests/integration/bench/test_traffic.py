"""The benchmarks' engine and clients, with nothing between them, and with what must not be between them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from bench import engine
from bench.engine import CHUNKS_AROUND, STEP_S, Steps, plain_answer, start_engine, stream_writes
from bench.errors import BenchError
from bench.load import Load, Seen, Work
from bench.traffic import TURN_S, arguments_of, do_work, main
from rig.ports import reserve_port

PLAIN = Work(connections=3, tokens=50, seconds=0.05)
STREAMED = Work(connections=4, tokens=2, seconds=None)
STEPS = STREAMED.tokens + CHUNKS_AROUND


@asynccontextmanager
async def serve(answer: Callable[[asyncio.StreamWriter], None]) -> AsyncIterator[int]:
    """A server that reads a request's head, answers once and hangs up; gives its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer(writer)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def loads(work: Work, count: int = 1) -> AsyncIterator[list[Load]]:
    """Clients of so many sides, connected to the engine without a proxy."""
    steps = Steps()
    async with await start_engine(0, steps) as server:
        opened = [Load(work, steps, number * work.connections) for number in range(count)]
        try:
            for load in opened:
                await load.open(server.sockets[0].getsockname()[1])
            yield opened
        finally:
            for load in opened:
                load.close()


async def test_plain_requests_are_sent_for_as_long_as_the_turn_lasts_and_all_are_answered() -> None:
    async with loads(replace(PLAIN, seconds=10)) as (load,):
        await load.take_turn(0.1)
        seen = load.seen
        await load.take_turn(0)
    assert seen.elapsed_s >= 0.1
    assert seen.answers > PLAIN.connections
    assert (seen.events, seen.reads) == (0, seen.answers)
    assert load.seen.answers == seen.answers + PLAIN.connections
    assert load.seen.elapsed_s > seen.elapsed_s


async def test_plain_work_is_complete_when_its_time_is_over() -> None:
    async with loads(PLAIN) as (load,):
        await load.take_turn(0)
        assert not load.is_complete()
        await load.take_turn(0.05)
        assert load.is_complete()


async def test_every_event_of_a_stream_is_counted_and_read_by_itself() -> None:
    async with loads(STREAMED) as (load,):
        while not load.is_complete():
            await load.take_turn(10)
    chunks = STREAMED.connections * STEPS
    assert (load.seen.answers, load.seen.events) == (4, chunks)
    # The head may come alone; [DONE] and what ends the framing come together.
    assert chunks <= load.seen.reads <= chunks + 2 * STREAMED.connections
    assert load.seen.elapsed_s >= (STEPS - 1) * STEP_S


async def test_streams_follow_on_each_other_only_in_their_sides_turn() -> None:
    work = replace(STREAMED, streams=3)
    async with loads(work) as (load,):
        while not load.is_complete():
            await load.take_turn(1.5 * STEP_S)
    assert (load.seen.answers, load.seen.events) == (3 * 4, 3 * STREAMED.connections * STEPS)
    assert load.seen.first_s > 0
    assert load.seen.chunk_s > 0


@pytest.mark.parametrize("work", [PLAIN, STREAMED])
async def test_a_turn_after_the_work_is_done_sends_nothing(work: Work) -> None:
    async with loads(work) as (load,):
        while not load.is_complete():
            await load.take_turn(1)
        seen = load.seen
        await load.take_turn(1)
        assert load.seen == seen


async def test_streams_stand_still_while_it_is_the_other_sides_turn() -> None:
    async with loads(STREAMED, count=2) as (one, other):
        await one.take_turn(2.5 * STEP_S)
        begun = one.seen.events
        assert not one.is_complete()
        while not other.is_complete():
            await other.take_turn(10)
        # What was on its way when the turn was over.
        assert one.seen.events <= begun + STREAMED.connections
        while not one.is_complete():
            await one.take_turn(10)
    assert one.seen.events == other.seen.events == STREAMED.connections * STEPS


async def test_streams_are_complete_when_the_last_one_is() -> None:
    answers = [engine.STREAM_HEAD + b"".join(stream_writes(2))]

    async def answer_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answers:
            writer.write(answers.pop())
        await reader.read()  # until the client hangs up
        writer.close()

    async with await asyncio.start_server(answer_the_first, "127.0.0.1", 0) as server:
        load = Load(STREAMED, Steps(), 0)
        await load.open(server.sockets[0].getsockname()[1])
        while not load.seen.answers:
            await load.take_turn(0.05)
        complete = load.is_complete()
        load.close()
    assert not complete


async def test_both_sides_do_the_same_work_in_turns() -> None:
    # Without proxies the engine's port is the one to send to.
    port = reserve_port()
    longer_than_a_turn = replace(STREAMED, tokens=int(TURN_S / STEP_S))
    one, other = await do_work(longer_than_a_turn, port, [port, port])
    chunks = STREAMED.connections * (longer_than_a_turn.tokens + CHUNKS_AROUND)
    assert (one.answers, one.events) == (other.answers, other.events) == (4, chunks)


async def test_a_plain_answer_is_a_chat_completion_of_a_kilobyte_with_usage() -> None:
    async with await start_engine(0, Steps()) as server, httpx.AsyncClient(trust_env=False) as client:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        response = await client.post(url, json={"max_tokens": 70})
    assert 900 <= len(response.content) <= 1100
    answer = response.json()
    assert answer["model"] == engine.MODEL
    assert answer["usage"]["completion_tokens"] == 70
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 70


async def test_an_answer_that_is_not_200_ends_the_work_with_its_text() -> None:
    def refuse(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 4\r\n\r\nfull")

    async with serve(refuse) as port:
        with pytest.raises(BenchError, match=r"answered with 'HTTP/1.1 503 .*full'"):
            await do_work(PLAIN, 0, [port])


async def test_a_connection_that_breaks_ends_the_work() -> None:
    def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(plain_answer(50)[:-1])

    async with serve(cut) as port:
        with pytest.raises(BenchError, match="closed a connection: without an error"):
            await do_work(PLAIN, 0, [port])


@pytest.mark.parametrize("work", [PLAIN, STREAMED])
def test_the_process_does_the_work_its_arguments_say(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    port = reserve_port()
    main(arguments_of(work, port, [port, port]))
    sides = [Seen(**json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    assert len(sides) == 2
    assert all(seen.answers >= work.connections for seen in sides)
    assert all(seen.events == (4 * STEPS if work.streamed else 0) for seen in sides)


def test_the_process_says_why_it_failed() -> None:
    engine_port, nobody = reserve_port(), reserve_port()
    with pytest.raises(SystemExit, match=r"traffic failed: .*Connect call failed"):
        main(arguments_of(PLAIN, engine_port, [nobody]))
