"""Running usage: whether chunks are read one by one or only the last of their kind, nobody can tell."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import override

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoebe_addon.answer.event_stream import EventStreamBody
from phoebe_addon.answer.reader import AnswerReader, RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.apis.engines import ENGINES, UNDECLARED
from phoebe_addon.apis.families.openai_chat import CONTINUOUS_USAGE, STREAM_USAGE
from phoebe_addon.apis.family import Family, Fold
from tests.corpus.catalog import CASES
from tests.corpus.pieces import ways_to_cut
from tests.harness.documents import FORMATS, cut, places
from tests.harness.engine_streams import DONE, STREAMS
from tests.harness.known import family

CHAT = family("openai.chat")
REMOVALS = (
    Removal(),
    Removal((STREAM_USAGE,)),
    Removal((CONTINUOUS_USAGE,)),
    Removal((STREAM_USAGE, CONTINUOUS_USAGE)),
)
ONE_RESULT = RequestFacts()
removals = st.sampled_from(REMOVALS)
facts = st.one_of(
    st.just(ONE_RESULT),
    st.builds(RequestFacts, st.integers(1, 2), st.integers(1, 2), st.sampled_from([UNDECLARED, *ENGINES])),
)
each_choices_format = pytest.mark.parametrize(
    "answering", [each for each in FORMATS if each.answer.fold is Fold.CHOICES], ids=lambda each: each.api
)


class ThoroughReader(AnswerReader):
    """A reader that puts nothing off."""

    @property
    @override
    def may_read_later(self) -> bool:
        return False


class CountingReader(AnswerReader):
    """A reader that counts what it puts off."""

    put_off = 0

    @override
    def read_later(self, data: bytes) -> None:
        self.put_off += 1
        super().read_later(data)


@dataclass(frozen=True, slots=True)
class Played:
    """A stream as it comes. asked: behind which of its pieces somebody asks what is known."""

    pieces: Sequence[bytes]
    removal: Removal = REMOVALS[-1]
    facts: RequestFacts = ONE_RESULT
    ending: str = "whole"
    asked: frozenset[int] = frozenset()


def seen(reader: AnswerReader, played: Played) -> list[object]:
    """Return all that can be seen of a stream from outside, in order."""
    body = EventStreamBody(reader, played.removal)
    steps: list[object] = []
    for number, piece in enumerate(played.pieces):
        steps.append((body.feed(piece), reader.is_over, reader.is_finished, reader.has_last_words))
        if number in played.asked:
            steps.append(reader.answer())
    if played.ending == "whole":
        steps.append(body.finish())
    elif played.ending == "broken off":
        body.cut_off()
    return [*steps, reader.answer(), reader.is_over, reader.is_finished, reader.has_last_words]


def assert_nobody_can_tell(played: Played, answering: Family = CHAT) -> None:
    quick, thorough = (kind((answering.answer,), played.facts) for kind in (AnswerReader, ThoroughReader))
    assert seen(quick, played) == seen(thorough, played)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk, by the text of its parts. behind: what stands behind its choices, after: behind its usage."""

    text: str = '"a"'
    usage: str = '{"prompt_tokens":9,"total_tokens":11,"completion_tokens":2}'
    name: str = "content"
    index: str = "0"
    reason: str = "null"
    before: str = ""
    behind: str = ""
    after: str = ""
    space: str = ""
    line_end: str = "\n"

    def written(self) -> bytes:
        """Write it as an event."""
        document = (
            f'{{"id":"c1","created":1,"model":"m",{self.before}"choices":[{{"index":{self.index},"delta":'
            f'{{"{self.name}":{self.space}{self.text}}},"logprobs":null,"finish_reason":{self.reason}}}]'
            f'{self.behind},{self.space}"usage":{self.space}{self.usage}{self.after}}}'
        )
        return f"data: {document}{self.line_end * 2}".encode("utf-8", "surrogateescape")


def usage_of(counts: Sequence[str], form: str) -> str:
    """Write a usage block of some counts."""
    for count in counts:
        form = form.replace("%s", count, 1)
    return form


USAGES = (
    '{"prompt_tokens":%s,"total_tokens":%s,"completion_tokens":%s,"prompt_tokens_details":null}',
    '{"prompt_tokens":%s,"prompt_tokens_details":{"cached_tokens":%s},"completion_tokens":%s}',
    '{"prompt_tokens": %s, "total_tokens": %s, "completion_tokens": %s}',
    '{"completion_tokens":%s,"prompt_tokens":%s,"completion_tokens":%s}',
    '{"prompt_tokens":%s,"completion_tokens":%s,"x":{"usage":{"prompt_tokens":%s},"of":"a:%s,"}}',
    '{"prompt_tokens":%s,"prompt_tokens_details":[%s, %s],"completion_tokens":3}',
    '{"prompt_tokens":%s,"prompt_tokens_details":%s}',
)
WHOLE_NUMBERS = ("0", "1", "9", "10", "99", "120", "4096", str(10**15 - 1), str(10**15), str(2**53))
OTHER_COUNTS = (
    *("-1", "1.5", "7.0", "1e3", "007", "", "null", "true", '"5"', "[]", "{}", " 5", "5 ", "5,5", "5}", "٣"),
    *(str(2**53 + 1), "9" * 30, "9" * 5000),
)
TEXTS = (
    *('""', '"a"', '"ü"', '"\\""', '"\\\\"', '"\\u0061"', '"\\ud83d"', '"\t"', "null", "[]", '"\udcff"'),
    # A model may write all of this, and an engine may write it wrongly.
    *(json.dumps(',"usage":{"prompt_tokens":1}'), json.dumps('"usage"'), '"us\\u0061ge"', '"[DONE]"'),
    *(
        '"\\x"',
        '"\\u00"',
        '"',
        '"a',
        'a"',
        '"a"b"',
        '"a","usage":{"prompt_tokens":5},"b":"c"',
        '"\\"',
        '"a\\',
    ),
    *('"a\\"},"usage":{"prompt_tokens":5}}', '"\n\ndata: x"', '"\r\r"', '"\u2028"', f'"{"x" * 70_000}"'),
)
ODD: dict[str, tuple[str, ...]] = {
    "name": ("text", "arguments", "role", "finish_reason", "usage", 'a\\"content', "error"),
    "index": ("1", "null", '"0"', "-1", "10"),
    "reason": ('"stop"', '"ok"', '""', "false", "7"),
    "before": (
        '"error":{"content":"x"},',
        '"error":"",',
        '"error":null,',
        '"usage":{"prompt_tokens":4},',
        '"content":"x",',
        '"x_groq":{"usage":{"prompt_tokens":4}},',
    ),
    "behind": (
        ',"error":{"message":"x"}',
        ',"usage":{"prompt_tokens":4}',
        ',"us\\u0061ge":{"prompt_tokens":4}',
        ',"timings":{"prompt_n":3,"predicted_n":4}',
        ',"choices":[]',
        ',"choices":[{"index":1}]',
        ',"choices":[{"index":2}]',
        ',"choices":"text"',
        ',"x":{"y":1',
    ),
    "after": (
        *("", " ", ',"x":1', ',"usage":null', ',"usage":{"prompt_tokens":8}', "}", ',"choices":[]'),
        *(',"choices":[{"index":1}]', ',"choices":[{"index":2}]'),
    ),
    "space": (" ", "  ", "\n", ""),
    "line_end": ("\r\n", "\r", "\n\n", ""),
}

whole_counts = st.sampled_from(WHOLE_NUMBERS) | st.integers(1, 3000).map(str)
any_counts = st.sampled_from(OTHER_COUNTS) | whole_counts


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Chunks of which most differ in text and counts alone, and some in one thing more."""
    usage = draw(st.sampled_from(USAGES))
    base = Chunk()
    for part in draw(st.lists(st.sampled_from(sorted(ODD)), max_size=1)):
        base = replace(base, **{part: draw(st.sampled_from(ODD[part]))})
    events: list[bytes] = []
    for kind in draw(
        st.lists(st.sampled_from(("plain", "plain", "plain", "odd", "damaged", "none")), max_size=9)
    ):
        text = json.dumps(draw(st.text(max_size=4)), ensure_ascii=draw(st.booleans()))
        counts = [draw(whole_counts) for _ in range(4)]
        chunk = replace(base, text=text, usage=usage_of(counts, usage))
        if kind == "odd":
            chunk = draw(odd(chunk, usage))
        event = chunk.written() if kind != "none" else draw(st.sampled_from(OTHERS))
        if kind == "damaged":
            place = draw(st.integers(0, len(event) - 1))
            event = event[:place] + draw(st.binary(max_size=2)) + event[place + 1 :]
        events.append(event)
    return events


@st.composite
def odd(draw: st.DrawFn, chunk: Chunk, usage: str) -> Chunk:
    """Make a chunk different in one thing."""
    part = draw(st.sampled_from(("counts", "text", "usage", *sorted(ODD))))
    if part == "counts":
        return replace(chunk, usage=usage_of([draw(any_counts) for _ in range(4)], usage))
    if part == "text":
        return replace(chunk, text=draw(st.sampled_from(TEXTS)))
    if part == "usage":
        return replace(chunk, usage=draw(st.sampled_from(("null", "{}", "[]", "7", '{"prompt_tokens":0}'))))
    return replace(chunk, **{part: draw(st.sampled_from(ODD[part]))})


# What comes between.
OTHERS = (
    DONE,
    b": a comment\n\n",
    b"event: error\ndata: {}\n\n",
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n',
    b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5}}\n\n',
    b'data: {"model":"m","choices":[{"delta":{}}],"usage":{"prompt_tokens":9,"completion_tokens":6}}\n\n',
    b'data: {"choices":[]',
)


@st.composite
def played(draw: st.DrawFn) -> Played:
    """A stream, cut between its events or anywhere."""
    events = draw(streams())
    body = b"".join(events)
    pieces = draw(st.sampled_from((events, [body])) | places.map(lambda at: cut(body, at)))
    ending = draw(st.sampled_from(("whole", "broken off", "left")))
    return Played(pieces, draw(removals), draw(facts), ending, frozenset(draw(st.sets(st.integers(0, 9)))))


def stream_of(*chunks: Chunk) -> list[bytes]:
    return [chunk.written() for chunk in chunks]


def counting(*counts: int) -> list[Chunk]:
    return [Chunk(usage=f'{{"prompt_tokens":{count},"completion_tokens":{count}}}') for count in counts]


STEADY = counting(5, 6, 7)


@settings(max_examples=400)
@given(played())
@example(Played(stream_of(*counting(5, 6, 4))))  # a usage that goes down
@example(Played(stream_of(*counting(5, 6, 0)), ending="broken off"))  # zeros state nothing
@example(Played(stream_of(*counting(0, 0, 5, 0))))
@example(Played(stream_of(*STEADY, replace(STEADY[0], reason='"stop"'), *STEADY)))
@example(Played(stream_of(*STEADY, replace(STEADY[0], text='""'), replace(STEADY[1], text='""'))))
@example(Played(stream_of(replace(STEADY[0], reason='"stop"'), *(replace(c, text='""') for c in STEADY))))
@example(Played(stream_of(*STEADY, replace(STEADY[0], index="1"), *STEADY)))
@example(Played([b"".join(stream_of(*STEADY, replace(STEADY[0], text='"\\u0061"')))]))
@example(Played(stream_of(*(replace(each, behind=',"usage":{"prompt_tokens":1}') for each in STEADY))))
@example(Played(stream_of(*(replace(each, after="}") for each in STEADY)), Removal()))
@example(Played(stream_of(*(replace(each, after=',"choices":[{"index":1}]') for each in STEADY)), Removal()))
@example(Played(stream_of(*STEADY, Chunk(usage='{"prompt_tokens":007,"completion_tokens":7}'))))
@example(Played(stream_of(*STEADY, Chunk(usage='{"prompt_tokens":,"completion_tokens":7}'))))
@example(Played(stream_of(*STEADY, Chunk(text='"a","usage":{},"b":"c"', usage=STEADY[0].usage))))
def test_nobody_can_tell_which_chunks_were_read(played: Played) -> None:
    assert_nobody_can_tell(played)


def made_unlike() -> list[bytes]:
    """Write chunks of which each differs from a plain one in one thing but its counts."""
    plain = Chunk()
    chunks = [replace(plain, text=text) for text in TEXTS if len(text) < 1000]
    chunks += [replace(plain, usage=usage_of(("9", "11", "2", "7"), usage)) for usage in USAGES]
    chunks += [replace(plain, **{part: value}) for part, values in ODD.items() for value in values]
    return [chunk.written() for chunk in chunks]


def counted_unlike() -> list[bytes]:
    """Write chunks that differ in a count, and one with zeros alone."""
    counted = [("9", count, count) for count in (*WHOLE_NUMBERS, *OTHER_COUNTS)]
    return [
        replace(Chunk(), usage=usage_of(counts, USAGES[0])).written()
        for counts in (*counted, ("0", "0", "0"))
    ]


each_way_to_remove = pytest.mark.parametrize("removal", [REMOVALS[0], REMOVALS[-1]], ids=["nothing", "both"])


def started() -> bytes:
    """Write the chunk that others follow on."""
    return Chunk(usage=usage_of(("9", "11", "2"), USAGES[0])).written()


@each_way_to_remove
def test_nobody_can_tell_whatever_follows_on_a_plain_chunk(removal: Removal) -> None:
    start = started()
    for first in (*made_unlike(), *counted_unlike()):
        assert_nobody_can_tell(Played([start, start, first, first], removal))
        assert_nobody_can_tell(Played([start + first + start], removal))
        assert_nobody_can_tell(Played([start, first], removal, ending="broken off"))


@pytest.mark.untraced  # long, with every line traced
@each_way_to_remove
def test_nobody_can_tell_whatever_follows_on_whatever(removal: Removal) -> None:
    start, made = started(), made_unlike()
    for first in made:
        for second in made:
            assert_nobody_can_tell(Played([start, first, second, first], removal))


@pytest.mark.parametrize("text", ['""', '"a"'])
def test_behind_its_last_word_a_stream_is_read_chunk_by_chunk(text: str) -> None:
    end = replace(STEADY[0], reason='"stop"')
    behind = replace(STEADY[0], text=text)
    assert_nobody_can_tell(Played(stream_of(*STEADY, end, behind, behind)))
    reader = CountingReader((CHAT.answer,), RequestFacts())
    seen(reader, Played(stream_of(end, *STEADY)))

    assert reader.put_off == 0


@each_choices_format
@settings(max_examples=30)
@given(drawn=played())
def test_nobody_can_tell_in_other_families_either(answering: Family, drawn: Played) -> None:
    assert_nobody_can_tell(drawn, answering)


def _corpus_streams() -> list[bytes]:
    """Return the event streams that engines answer chat requests with."""
    sent = [case.answer.sent for case in CASES if b'"choices"' in case.answer.sent and case.answer.is_stream]
    return list(dict.fromkeys([*(b"".join(events) for events in STREAMS.values()), *sent]))


def with_running_usage(stream: bytes) -> list[bytes]:
    """Make a stream that says its running usage in every chunk, and each chunk several times."""
    events: list[bytes] = []
    for event in stream.split(b"\n\n"):
        head, end, tail = event.rpartition(b"}")
        if not end or tail or b'"usage":{' in event:
            events.append(event + b"\n\n")
            continue
        count = len(events) + 1
        events += [
            b'%s,"usage":{"prompt_tokens":%d,"completion_tokens":%d}}\n\n' % (head, 7, count + again)
            for again in range(3)
        ]
    return events


@pytest.mark.parametrize("stream", _corpus_streams(), ids=range(len(_corpus_streams())))
def test_nobody_can_tell_in_the_corpus_however_it_is_cut_and_ends(stream: bytes) -> None:
    running = with_running_usage(stream)
    cuts = ways_to_cut(b"".join(running)).values() if len(stream) < 20_000 else ()
    for pieces in (running, *cuts):
        for removal in (Removal(), REMOVALS[-1]):
            for ending in ("whole", "broken off"):
                assert_nobody_can_tell(Played(pieces, removal, ending=ending))
    assert_nobody_can_tell(Played(running, facts=RequestFacts(samples=2)))


def test_much_of_the_corpus_is_put_off() -> None:
    put_off = 0
    for stream in _corpus_streams():
        reader = CountingReader((CHAT.answer,), RequestFacts())
        seen(reader, Played(with_running_usage(stream)))
        put_off += reader.put_off

    assert put_off > 50


@given(st.lists(st.text(), min_size=3, max_size=20), removals)
def test_of_a_steady_stream_only_the_first_chunks_are_read_when_they_come(
    texts: list[str], removal: Removal
) -> None:
    chunks = [
        Chunk(json.dumps(f".{text}"), usage_of([str(count)] * 4, USAGES[0]))
        for count, text in enumerate(texts, 1)
    ]
    reader = CountingReader((CHAT.answer,), RequestFacts())
    seen(reader, Played(stream_of(*chunks), removal))

    assert reader.put_off == len(chunks) - 1
