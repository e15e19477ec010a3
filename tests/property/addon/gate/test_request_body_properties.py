"""The one change made to request bodies, for every family, over any JSON and any bytes."""

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from phoebe_addon.apis.engines import ENGINES, UNDECLARED
from phoebe_addon.apis.families import FAMILIES
from phoebe_addon.apis.family import Family, Streams, UsageSwitch
from phoebe_addon.formats.steps import at_once
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.request_body import Asking, BadBodyError, RequestBody, UsagePolicy, read_request
from phoebe_addon.gate.routes import Match, RouteTable
from tests.harness.known import engine, family

ROUTES = RouteTable(built_in_routes())
JSON_FAMILIES = [each for each in FAMILIES if not each.request.form]
CHAT = family("openai.chat")

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
inner_names = st.one_of(
    st.sampled_from(["include_usage", "details", "usage", "stream"]).map(json.dumps), texts
)


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    members = draw(
        st.lists(st.tuples(whitespace, inner_names, whitespace, whitespace, values, whitespace), max_size=4)
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
# What some engine takes for true, and what none does.
TRUE_FOR_SOME_ENGINE = ("true", "1", "1.0", '"true"', '"ON"')
flags = st.one_of(st.sampled_from([*TRUE_FOR_SOME_ENGINE, "false", "null", "0", "[]", '"no"', "{}"]))

type Wanted = dict[str, "Wanted | None"]
"""Members that are to be true (None), and what is to be inside others."""


@dataclass(frozen=True)
class Written:
    """A JSON object as a client writes it, and as it must go on; None: it must be refused.

    stated: the literals, or what is written inside, of each wanted member, by its exact name.
    """

    sent: str
    goes_on: str | None
    stated: "dict[str, list[str | Written]]"


def fresh(inside: Wanted | None) -> str:
    if inside is None:
        return "true"
    return "{" + ",".join(f'"{name}":{fresh(each)}' for name, each in inside.items()) + "}"


def spellings(name: str) -> st.SearchStrategy[str]:
    """Ways to write a name, as the names of members that some engine takes for it."""
    escaped = "".join(f"\\u{ord(c):04x}" if c in "_s" else c for c in name)
    return st.sampled_from([name, name, escaped, name.title(), name.upper(), name.replace("s", "\u017f", 1)])


@st.composite
def written(
    draw: st.DrawFn, wanted: Wanted, required: tuple[tuple[str, str], ...], taboo: frozenset[str]
) -> Written:
    """Draw an object with wanted members, required ones (name and literal), and any others but the taboo."""
    members: list[tuple[str, str, str | None]] = [
        (f'"{name}"', literal, literal) for name, literal in required
    ]
    stated: dict[str, list[str | Written]] = {}
    for name, literal in draw(st.lists(st.tuples(inner_names, values), max_size=3)):
        plain = json.loads(name).casefold()
        if plain not in taboo and plain not in wanted:
            members.append((name, literal, literal))
    for name, inside in wanted.items():
        for spelling in draw(st.lists(spellings(name), max_size=2)):
            value: str | Written = draw(flags if inside is None else _insides(inside))
            if isinstance(value, Written):
                members.append((f'"{spelling}"', value.sent, value.goes_on))
            elif inside is None:
                members.append((f'"{spelling}"', value, value if value in TRUE_FOR_SOME_ENGINE else "true"))
            else:
                members.append((f'"{spelling}"', value, fresh(inside) if value == "null" else None))
    members = draw(st.permutations(members))
    for name, literal, _ in members:
        plain = json.loads(name)
        if plain in wanted:
            stated.setdefault(plain, []).append(literal)
    missing = [f'"{name}":{fresh(inside)}' for name, inside in wanted.items() if name not in stated]
    return _laid_out(draw, members, missing, stated)


def _insides(inside: Wanted) -> st.SearchStrategy[str | Written]:
    return st.one_of(
        st.just("null"),
        *[written(inside, (), frozenset()).map(_without_outer_space)] * 3,
        st.sampled_from(["[]", "true", '"x"', "7"]),
    )


def _without_outer_space(value: Written) -> Written:
    return Written(value.sent.strip(), value.goes_on and value.goes_on.strip(), value.stated)


def _laid_out(
    draw: st.DrawFn,
    members: list[tuple[str, str, str | None]],
    missing: list[str],
    stated: "dict[str, list[str | Written]]",
) -> Written:
    start, end = draw(whitespace), draw(whitespace)
    sent, goes_on = start + "{", start + "{"
    for index, (name, literal, changed) in enumerate(members):
        a, b, c, d = (draw(whitespace) for _ in range(4))
        last = index == len(members) - 1
        more = "".join(f",{each}" for each in missing) if last else ""
        comma = "" if last else ","
        sent += f"{a}{name}{b}:{c}{literal}{d}{comma}"
        goes_on += f"{a}{name}{b}:{c}{changed}{more}{d}{comma}"
    if not members:
        inner = draw(whitespace)
        sent += inner
        goes_on += inner + ",".join(missing)
    refused = any(changed is None for _, _, changed in members)
    return Written(f"{sent}}}{end}", None if refused else f"{goes_on}}}{end}", stated)


@dataclass(frozen=True)
class Drawn:
    """A request: its family, its path, how usage is asked for, whether it is a stream, and its body."""

    family: Family
    path: str
    usage_policy: UsagePolicy
    streaming: bool
    body: Written

    def read(self) -> RequestBody:
        return read(self.body.sent.encode(), self.path, self.usage_policy)


def read(content: bytes, path: str, usage_policy: UsagePolicy) -> RequestBody:
    match = ROUTES.find("POST", path)
    assert isinstance(match, Match)
    return at_once(read_request(content, "application/json", match, usage_policy))


def asks_of(each: Family, usage_policy: UsagePolicy, *, streaming: bool) -> list[UsageSwitch]:
    """List what is asked for, by what a family says of its asks."""
    usage_switches = [ask for ask in each.request.usage_switches if streaming or not ask.streams_only]
    if usage_policy.asking is Asking.NONE:
        return []
    if not usage_policy.continuous:
        usage_switches = [ask for ask in usage_switches if not ask.continuous]
    return [ask for ask in usage_switches if not ask.engines or usage_policy.engine.name in ask.engines]


def wanted_of(usage_switches: list[UsageSwitch]) -> Wanted:
    wanted: Wanted = {}
    for ask in usage_switches:
        if ask.parent is None:
            wanted[ask.member] = None
        else:
            inside = wanted.setdefault(ask.parent, {})
            assert inside is not None
            inside[ask.member] = None
    return wanted


askings = st.builds(
    UsagePolicy,
    st.sampled_from([UNDECLARED, *ENGINES, *[engine("TensorRT-LLM")] * 5]),
    st.sampled_from(Asking),
)


@st.composite
def requests(draw: st.DrawFn, each: Family) -> Drawn:
    usage_policy = draw(askings)
    path = draw(st.sampled_from([name for name in each.routes if name.startswith("POST ")]))
    path = path.removeprefix("POST ").format(model="m", version="1")
    match = ROUTES.find("POST", path)
    assert isinstance(match, Match)
    required: list[tuple[str, str]] = []
    if each.request.members:
        required.append((draw(st.sampled_from(sorted(each.request.members))), '"x"'))
    streaming = each.request.streams is Streams.ALWAYS
    if each.request.streams in {Streams.IF_ASKED, Streams.UNLESS_DECLINED}:
        literal = draw(st.sampled_from(["true", '"true"', "1", "false", "0"]))
        required.append(("stream", literal))
        streaming = literal in TRUE_FOR_SOME_ENGINE
    taboo = frozenset(
        {"stream"}
        | {str(each.place[0]) for each in each.request.unbillable if each.place}
        | {name for other in match.route.families for name in other.request.members}
    )
    together = [each] if each.request.members else list(match.route.families)
    asks = [ask for other in together for ask in asks_of(other, usage_policy, streaming=streaming)]
    wanted = wanted_of(asks)
    return Drawn(each, path, usage_policy, streaming, draw(written(wanted, tuple(required), taboo)))


each_family = pytest.mark.parametrize(
    "each", JSON_FAMILIES, ids=[f"{each.api} {each.routes[0]}" for each in JSON_FAMILIES]
)


@each_family
@settings(max_examples=25)
@given(st.data())
def test_a_body_goes_on_byte_for_byte_but_for_what_is_asked(each: Family, data: st.DataObject) -> None:
    drawn = data.draw(requests(each))
    if drawn.body.goes_on is None:
        with pytest.raises(BadBodyError, match=r" must be an object\.$"):
            drawn.read()
        return

    body = drawn.read()

    assert body.content.decode() == drawn.body.goes_on
    assert body.family is each
    assert body.streaming is drawn.streaming


asking_families = st.sampled_from([each for each in JSON_FAMILIES if each.request.usage_switches])


@settings(max_examples=200)
@given(asking_families.flatmap(requests))
def test_what_the_client_did_not_ask_for_is_known(drawn: Drawn) -> None:
    assume(drawn.body.goes_on is not None)
    document = json.loads(drawn.body.sent, parse_int=float)

    def is_wanted(ask: UsageSwitch) -> bool:
        place = document.get(ask.parent) if ask.parent else document
        if not isinstance(place, dict):
            return False
        value = place.get(ask.member, ask.member in drawn.usage_policy.engine.default_switches)
        return value in {True, "true", "ON", "1"} if isinstance(value, str | int | float) else False

    usage_switches = asks_of(drawn.family, drawn.usage_policy, streaming=drawn.streaming)
    assert list(drawn.read().added_switches) == [ask for ask in usage_switches if not is_wanted(ask)]


@settings(max_examples=150)
@given(asking_families.flatmap(requests))
def test_asking_twice_is_asking_once(drawn: Drawn) -> None:
    assume(drawn.body.goes_on is not None)
    once = drawn.read()
    twice = read(once.content, drawn.path, drawn.usage_policy)

    assert twice.content is once.content
    assert twice.added_switches == ()
    assert replace(twice, added_switches=once.added_switches) == once


type Pairs = list[tuple[str, object]]


def parse(text: str) -> Pairs:
    """Parse one JSON object into name and value pairs, so that duplicate names and digits are seen."""
    pairs = json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
    assert isinstance(pairs, list)
    return pairs


@settings(max_examples=150)
@given(asking_families.flatmap(requests))
def test_members_that_are_not_asked_about_stay_in_number_order_and_value(drawn: Drawn) -> None:
    assume(drawn.body.goes_on is not None)
    wanted = wanted_of(asks_of(drawn.family, drawn.usage_policy, streaming=drawn.streaming))

    def others(text: str) -> Pairs:
        return [(name, value) for name, value in parse(text) if name.casefold() not in wanted]

    after = drawn.read().content.decode()

    assert others(after) == others(drawn.body.sent)
    for name, value in parse(after):
        if name in wanted and (inside := wanted[name]) is not None:
            assert isinstance(value, list)
            assert inside.keys() <= {member for member, _ in value}


@settings(max_examples=150)
@given(st.sampled_from(JSON_FAMILIES), objects(values), askings)
@example(CHAT, '{"stream":false,"stream_options":{"include_usage":false}}', UsagePolicy())
def test_a_body_in_which_nothing_is_asked_goes_on_as_the_same_object(
    each: Family, text: str, usage_policy: UsagePolicy
) -> None:
    content = text.encode()
    path = each.routes[0].split(" ")[1].format(model="m", version="1")
    try:
        body = read(content, path, usage_policy)
    except BadBodyError:
        assume(False)

    assume(not asks_of(body.family, usage_policy, streaming=body.streaming))
    assert body.content is content
    assert body.added_switches == ()


any_body = st.one_of(
    st.binary(max_size=40),
    values.map(str.encode),
    asking_families.flatmap(requests).map(lambda drawn: drawn.body.sent.encode()[:-1]),
    asking_families.flatmap(requests).map(lambda drawn: drawn.body.sent.encode()),
)


@settings(max_examples=200)
@given(st.sampled_from(FAMILIES), any_body, askings, st.text(max_size=20))
@example(CHAT, b'{"stream":true,"stream_options":{"include_usage":' + b"[" * 100_000, UsagePolicy(), "")
@example(CHAT, b'{"stream":true,"stream_options":7}', UsagePolicy(), "")
def test_any_bytes_are_read_or_refused_as_bad(
    each: Family, content: bytes, usage_policy: UsagePolicy, content_type: str
) -> None:
    match = ROUTES.find(*each.routes[0].format(model="m", version="1").split(" "))
    assert isinstance(match, Match)
    try:
        outcome: RequestBody | BadBodyError = at_once(
            read_request(content, content_type, match, usage_policy)
        )
    except BadBodyError as error:
        outcome = error

    if isinstance(outcome, RequestBody):
        assert outcome.prompts >= 1
        assert 1 <= outcome.samples <= 65_536
    else:
        assert 0 < len(str(outcome)) < 500
