"""The one change made to request bodies, over any JSON and any bytes."""

import json

from hypothesis import assume, example, given
from hypothesis import strategies as st

from phoebe_addon.request_body import BadBodyError, RequestBody, read_openai_body

type Pairs = list[tuple[str, object]]

whitespace = st.text(" \t\r\n", max_size=2)
texts = st.one_of(
    st.text(max_size=5), st.sampled_from(["stream", "include_usage", "é\U0001f600\0", '"\\'])
).map(lambda text: json.dumps(text, ensure_ascii=len(text) % 2 == 0))
scalars = st.one_of(
    st.sampled_from(
        ["true", "false", "null", "0", "-0.0", "1e999", "1.10", "9" * 5000, '"\\ud800"', '"\\u0073"']
    ),
    texts,
)
names = st.one_of(
    st.sampled_from(["model", "prompt", "messages", "usage", "include_usage", "n"]).map(json.dumps), texts
)


@st.composite
def objects(
    draw: st.DrawFn, values: st.SearchStrategy[str], member_names: st.SearchStrategy[str] = names
) -> str:
    members = draw(
        st.lists(st.tuples(whitespace, member_names, whitespace, whitespace, values, whitespace), max_size=4)
    )
    inner = ",".join(f"{a}{name}{b}:{c}{value}{d}" for a, name, b, c, value, d in members)
    return f"{{{inner or draw(whitespace)}}}"


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]"), objects(inner)
    ),
    max_leaves=5,
)
option_names = st.sampled_from(
    ['"include_usage"', '"continuous_usage_stats"', '"include\\u005fusage"', '"x"']
)
options = st.one_of(objects(scalars, option_names), st.just("null"))
stream_options_names = st.sampled_from(['"stream_options"', '"stream\\u005foptions"'])


@st.composite
def streams(draw: st.DrawFn) -> str:
    """Draw a body that asks for a stream, with any number of stream_options among other members."""
    members = [f'{draw(whitespace)}"stream"{draw(whitespace)}:{draw(whitespace)}true']
    for name, value in draw(st.lists(st.tuples(names, values), max_size=4)):
        assume(json.loads(name).casefold() not in {"stream", "stream_options"})
        members.append(f"{name}:{value}{draw(whitespace)}")
    for name, value in draw(st.lists(st.tuples(stream_options_names, options), max_size=3)):
        members.append(f"{name}{draw(whitespace)}:{draw(whitespace)}{value}")
    return f"{draw(whitespace)}{{{','.join(draw(st.permutations(members)))}}}{draw(whitespace)}"


def parse(text: str) -> Pairs:
    """Parse one JSON object into name and value pairs, so that duplicate names and digits are seen."""
    pairs = json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
    assert isinstance(pairs, list)
    return pairs


def others(pairs: Pairs) -> Pairs:
    return [(name, value) for name, value in pairs if name != "stream_options"]


def all_options(pairs: Pairs) -> list[object]:
    return [value for name, value in pairs if name == "stream_options"]


@given(streams(), st.booleans())
def test_every_stream_is_made_to_report_usage_and_nothing_else_in_it_changes(
    text: str, continuous: bool
) -> None:
    before, after = (
        parse(text),
        parse(read_openai_body(text.encode(), continuous_usage=continuous).content.decode()),
    )

    assert others(after) == others(before)
    wanted = {"include_usage"} | ({"continuous_usage_stats"} if continuous else set())
    assert len(all_options(after)) == max(len(all_options(before)), 1)
    for found in all_options(after):
        assert isinstance(found, list)
        assert all(is_true(value) for name, value in found if name in wanted)
        assert wanted <= {name for name, _ in found}
    assert unasked(all_options(after), wanted) == unasked(all_options(before), wanted)


def is_true(value: object) -> bool:
    return value is True or value in ("1", "1.0")


def unasked(options: list[object], wanted: set[str]) -> list[object]:
    """List the options that are not Phoebe's business."""
    return [
        (name, value)
        for found in options
        if isinstance(found, list)
        for name, value in found
        if name not in wanted
    ]


TRUE_FOR_SOME_ENGINE = ("true", "1", "1.0", '"true"', '"ON"')
option_values = st.one_of(
    st.sampled_from([*TRUE_FOR_SOME_ENGINE, "false", "null", "0", "[]", '"no"']), scalars
)


@given(
    st.lists(st.tuples(whitespace, option_names, whitespace, option_values, whitespace), max_size=3),
    st.tuples(whitespace, values, whitespace, values, whitespace),
)
def test_only_the_answer_to_whether_usage_is_wanted_is_replaced(
    members: list[tuple[str, str, str, str, str]], around: tuple[str, str, str, str, str]
) -> None:
    a, before, b, after, c = around
    head = f'{a}{{"x":{before},"stream":true,"stream_options":{b}'
    tail = f'{b},"y":{after}}}{c}'
    sent, expected, asked = [], [], False
    for left, name, middle, value, right in members:
        wanted = json.loads(name) == "include_usage"
        asked = asked or wanted
        kept = value if not wanted or value in TRUE_FOR_SOME_ENGINE else "true"
        sent.append(f"{left}{name}{middle}:{value}{right}")
        expected.append(f"{left}{name}{middle}:{kept}{right}")
    if not asked:
        expected.append('"include_usage":true')

    content = read_openai_body(f"{head}{{{','.join(sent)}}}{tail}".encode()).content

    assert content.decode() == f"{head}{{{','.join(expected)}}}{tail}"


@given(objects(values, st.sampled_from(['"model"', '"messages"'])), whitespace)
def test_without_stream_options_they_are_put_behind_the_last_member(text: str, end: str) -> None:
    head = f'{{"x":{text},"stream":true'

    content = read_openai_body(f"{head}{end}}}{end}".encode()).content

    assert content.decode() == f'{head},"stream_options":{{"include_usage":true}}{end}}}{end}'


@given(objects(values))
@example('{"stream":false,"stream_options":{"include_usage":false}}')
def test_a_body_that_is_no_stream_goes_on_as_the_same_object(text: str) -> None:
    content = text.encode()
    body = read_openai_body(content, continuous_usage=True)

    assume(not body.streaming)
    assert body.content is content


@given(
    st.one_of(st.binary(max_size=40), values.map(str.encode), streams().map(lambda text: text.encode()[:-1]))
)
@example(b'{"stream":true,"stream_options":{"include_usage":' + b"[" * 100_000)
@example(b'{"stream":true,"stream_options":7}')
def test_any_bytes_are_read_or_refused_as_bad(content: bytes) -> None:
    try:
        outcome: RequestBody | BadBodyError = read_openai_body(content)
    except BadBodyError as error:
        outcome = error

    assert isinstance(outcome, RequestBody) or 0 < len(str(outcome)) < 500
