"""Drawing JSON documents around the places where an API family has something to say, and streams of them."""

import json
from itertools import pairwise

from hypothesis import strategies as st

from phoebe_addon.apis.families import FAMILIES
from phoebe_addon.apis.family import EACH, AnswerFormat, Family, Path

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

FORMATS = tuple({id(family.answer): family for family in FAMILIES}.values())
"""One family for each format of answers."""
families = st.sampled_from(FORMATS)

COUNT_NAMES = (
    *("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"),
    *("cached_tokens", "reasoning_tokens", "audio_tokens", "cache_write_tokens", "created_cache_tokens"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "prompt_n", "cache_n", "predicted_n"),
    *("prompt_eval_count", "prompt_eval_cached_count", "eval_count", "generated_tokens", "input_length"),
    *("num_input_tokens", "num_output_tokens", "tokens_evaluated", "tokens_predicted"),
)
OTHER_NAMES = (
    *("id", "index", "choices", "usage", "model", "type", "error", "stop", "done", "details", "timings"),
    *("prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details"),
    *("billed_units", "tokens", "meta", "meta_info", "message", "response", "delta", "status", "x"),
)

good_counts = st.one_of(st.integers(0, 2**53), st.integers(0, 5), st.sampled_from([0.0, 812.0, float(2**53)]))
bad_counts = st.one_of(
    st.integers(max_value=-1),
    st.integers(min_value=2**53 + 1),
    st.sampled_from([0.5, -1.0, float("nan"), float("inf"), float("-inf"), 1e300]),
    st.sampled_from([True, False, "", "7"]),
    st.builds(list[Json]),
    st.builds(dict[str, Json]),
)
scalars = st.one_of(st.none(), st.booleans(), st.text(max_size=3), good_counts, bad_counts)


def values(names: tuple[str, ...]) -> st.SearchStrategy[Json]:
    """Any JSON value, whose members often have known names."""
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(names), inner, max_size=4)
        ),
        max_leaves=6,
    )


def places_of(form: AnswerFormat) -> list[Path]:
    """List every place where the format reads something."""
    marks = [mark.place for mark in (*form.ends, *form.failures)]
    usages = [path for place in (*form.usage, *form.unnamed_usage) for path in place.places]
    handover = (form.handover.mark.place, form.handover.model) if form.handover else ()
    return [path for path in (*form.models, *form.finish_reasons, *usages, *marks, *handover) if path]


def put(document: Json, path: Path, value: Json) -> Json:
    """Put a value at a place, on the ruins of what is in the way."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        members = dict(document) if isinstance(document, dict) else {}
        members[step] = put(members.get(step), rest, value)
        return members
    elements = list(document) if isinstance(document, list) else []
    index = 0 if step == EACH else step
    elements += [None] * (index + 1 - len(elements))
    elements[index] = put(elements[index], rest, value)
    return elements


def words_of(form: AnswerFormat) -> list[Json]:
    """List the words that are marks."""
    handover = (form.handover.mark,) if form.handover else ()
    words = [value for mark in (*form.ends, *form.failures, *handover) for value in mark.values]
    return [word for word in words if isinstance(word, str | bool)]


@st.composite
def documents(draw: st.DrawFn, form: AnswerFormat) -> Json:
    """Draw a document of a format, or nearly one."""
    own_names = {step for path in places_of(form) for step in path if isinstance(step, str)}
    all_names = (*sorted({*OTHER_NAMES, *own_names}), *COUNT_NAMES)
    known = values(all_names)
    counts = st.one_of(good_counts, good_counts, scalars)
    blocks = st.dictionaries(st.sampled_from(COUNT_NAMES), counts, max_size=4)
    blocks = st.one_of(blocks, with_shares(blocks, form))
    document: Json = draw(st.dictionaries(st.sampled_from(all_names), known, max_size=3))
    there = st.one_of(blocks, known, st.sampled_from([*words_of(form), "m"]))
    for path, value in draw(st.lists(st.tuples(st.sampled_from(places_of(form)), there), max_size=3)):
        document = put(document, path, value)
    if isinstance(document, dict) and draw(st.booleans()):
        document |= draw(blocks)
    if draw(st.booleans()) and form.results:
        document = put(None, form.results[0], [document, *draw(st.lists(known, max_size=2))])
    return document


def with_shares(
    blocks: st.SearchStrategy[dict[str, Json]], form: AnswerFormat
) -> st.SearchStrategy[dict[str, Json]]:
    """Usage blocks with a list of what each of several models used, where the format has such lists."""
    places = {place.counts.shares_place for place in form.usage} - {None}
    kinds = st.sampled_from(
        ["message", "compaction", "advisor_message", "fallback_message", "other", 7, None]
    )
    names = st.sampled_from(["m", "n", "o", "", None, 7])
    share = st.builds(lambda block, kind, name: {**block, "type": kind, "model": name}, blocks, kinds, names)
    shares = st.lists(st.one_of(share, share, scalars), max_size=4)
    if not places:
        return blocks
    return st.builds(lambda block, listed: {**block, places.copy().pop(): listed}, blocks, shares)


@st.composite
def texts(draw: st.DrawFn, form: AnswerFormat) -> bytes:
    """Draw the text of a document, its member names escaped or not."""
    text = json.dumps(
        draw(documents(form)), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, None, 1]))
    )
    if draw(st.booleans()):
        text = text.replace('"usage":', '"us\\u0061ge":')
    return text.encode("utf-8", "replace")


broken = st.sampled_from(
    [
        b"",
        b"{}",
        b"null",
        b"[DONE]",
        b"\xff",
        b"{",
        b'{"usage":null}',
        b'{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2}}',
        b'{"usage":{"prompt_tokens":' + b"9" * 5000 + b"}}",
        b'{"usage":{"x":' + b"[" * 2000 + b"]" * 2000 + b"}}",
        b'{"choices":[7,null,[]],"usage":{"prompt_tokens_details":[]}}',
        b'{"choices":[{"index":-1}],"usage":{"prompt_tokens":1}}',
        b'{"choices":[{"index":true}],"usage":{},"id":7}',
        b'{"model":"\\ud800\\u0000","error":{}}',
        b'{"choices":[{"finish_reason":"\\udfff"}]}',
    ]
)


@st.composite
def streams(draw: st.DrawFn, form: AnswerFormat) -> bytes:
    """Draw a stream of events or of lines, well formed or not."""
    parts: list[bytes] = []
    contents = st.one_of(texts(form), texts(form), broken, st.binary(max_size=12))
    for content in draw(st.lists(contents, max_size=5)):
        parts.append(draw(st.sampled_from([b"data: ", b"data:", b"", b"event: error\ndata: ", b": "])))
        parts.append(content.replace(b"\n", b"\ndata: ") if b"data" in parts[-1] else content)
        parts.append(draw(st.sampled_from([b"\n\n", b"\n\n", b"\n", b"\r\n\r\n", b"\r\r", b" \n\n", b""])))
    return b"".join(parts)


def bodies(form: AnswerFormat) -> st.SearchStrategy[bytes]:
    """Any body a format may find itself before."""
    return st.one_of(streams(form), texts(form), st.binary(max_size=40))


@st.composite
def answers(draw: st.DrawFn) -> tuple[Family, bytes]:
    """Draw a family and a body."""
    family = draw(families)
    return family, draw(bodies(family.answer))


places = st.lists(st.integers(0, 2000), max_size=6)


def cut(body: bytes, at: list[int]) -> list[bytes]:
    """Cut a body at some places."""
    edges = [0, *sorted(place % (len(body) + 1) for place in at), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def single_bytes(body: bytes) -> list[bytes]:
    """Cut a body into bytes."""
    return [bytes((byte,)) for byte in body]
