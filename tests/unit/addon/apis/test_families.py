"""What the families state fits together, and a new one is found by itself."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from phoebe_addon.apis.engines import find_engine
from phoebe_addon.apis.families import FAMILIES, find_family
from phoebe_addon.apis.family import (
    EACH,
    Family,
    Fold,
    Mark,
    Streams,
    TakeOut,
    UsageSwitch,
    at,
    has_mark,
    mark,
    value_at,
)
from phoebe_addon.apis.usage import COUNT_NAMES
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.routes import make_route

ROOT = Path(__file__).parents[4]

each_family = pytest.mark.parametrize(
    "family", FAMILIES, ids=lambda family: f"{family.api} {family.routes[0]}"
)


@each_family
def test_the_name_of_an_api_is_one_that_an_event_can_carry(family: Family) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z]+", family.api)
    assert len(family.api) <= 64


@each_family
def test_a_family_is_found_by_its_name(family: Family) -> None:
    found = find_family(family.api)

    assert found is not None
    assert found.api == family.api


def test_an_api_that_no_family_has_is_none() -> None:
    assert find_family("openai.chats") is None
    assert find_family("") is None


@each_family
def test_routes_are_written_as_routes_and_change_something(family: Family) -> None:
    assert family.routes
    for name in family.routes:
        route = make_route(name)

        assert f"{route.method} {route.path}" == name
        assert route.method in {"POST", "PUT"}


@each_family
def test_no_family_states_a_route_twice(family: Family) -> None:
    assert len(set(family.routes)) == len(family.routes)


def test_families_that_share_a_path_are_told_apart_by_the_body_or_asked_together() -> None:
    for route in built_in_routes():
        requests = [family.request for family in route.families]

        assert sum(bool(request.members) for request in requests) in {0, len(requests)}
        for first, second in combinations(requests, 2):
            assert not first.members & second.members
            asked = {(each.parent, each.member): each for each in first.usage_switches}
            for other in second.usage_switches:
                assert asked.get((other.parent, other.member), other) == other
                assert (None, other.parent) not in asked
        if any(request.form for request in requests):
            assert len(requests) == 1


@each_family
def test_a_model_in_the_path_has_its_place_there(family: Family) -> None:
    for name in family.routes:
        assert ("{model}" in name) is family.request.model_in_path


def usage_switches() -> list[tuple[Family, UsageSwitch]]:
    return [(family, ask) for family in FAMILIES for ask in family.request.usage_switches]


each_ask = pytest.mark.parametrize(
    ("family", "ask"),
    usage_switches(),
    ids=[f"{family.api} {ask.member}" for family, ask in usage_switches()],
)


@each_ask
def test_an_ask_is_for_members_that_are_read(family: Family, ask: UsageSwitch) -> None:
    places = [path for place in family.answer.usage for path in place.places]
    members = [name for place in family.answer.usage for name in place.counts.names()]

    assert ask.answer_members
    for name in ask.answer_members:
        assert (name,) in places or (() in places and name in members)


@each_ask
def test_chunks_are_taken_out_only_of_answers_that_have_chunks(family: Family, ask: UsageSwitch) -> None:
    if ask.take_out in {TakeOut.CHUNK, TakeOut.RUNNING}:
        assert family.answer.fold is Fold.CHOICES
        assert ask.streams_only
        assert ask.answer_members == ("usage",)
    assert ask.continuous is (ask.take_out is TakeOut.RUNNING)


@each_ask
def test_an_ask_has_a_place_in_the_request(family: Family, ask: UsageSwitch) -> None:
    assert re.fullmatch("[a-z_]+", ask.member)
    assert ask.member == ask.member.casefold()
    if family.request.form:
        assert ask.parent is None
    if ask.streams_only:
        assert family.request.streams is not Streams.NEVER or family.api == "tgi.generate"


@each_ask
def test_the_engines_an_ask_is_for_exist(family: Family, ask: UsageSwitch) -> None:
    for name in ask.engines:
        engine = find_engine(name)

        assert engine is not None
        assert engine.name == name


@each_ask
def test_an_ask_is_not_stated_twice(family: Family, ask: UsageSwitch) -> None:
    places = [(each.parent, each.member) for each in family.request.usage_switches]

    assert places.count((ask.parent, ask.member)) == 1
    assert (None, ask.parent) not in places


@each_family
def test_every_place_of_usage_has_counts(family: Family) -> None:
    assert family.answer.usage or family.answer.header_usage
    for place in family.answer.usage:
        assert place.places
        assert place.counts.read({}).is_empty()
        assert place.counts.names()


@each_family
def test_counts_among_other_things_are_cut_out_for_the_raw_usage(family: Family) -> None:
    for place in family.answer.usage:
        if () in place.places:
            assert set(place.counts.names()) <= set(place.members)
        if place.members:
            assert set(place.members) & set(place.counts.names())


@each_family
def test_only_a_merge_adds_counts_up_by_itself(family: Family) -> None:
    for place in family.answer.usage:
        assert place.added <= set(COUNT_NAMES)
        if place.added:
            assert family.answer.fold is Fold.MERGE


@each_family
def test_usage_and_results_stand_at_one_place_each(family: Family) -> None:
    answer = family.answer
    for path in [path for place in answer.usage for path in place.places] + list(answer.results):
        assert EACH not in path
        assert all(step for step in path if isinstance(step, str))


@each_family
def test_the_headers_that_are_read_are_named_in_lower_case(family: Family) -> None:
    counts = family.answer.header_usage
    for name in (*family.answer.header_documents, *(counts.names() if counts else ())):
        assert name == name.lower()


@each_family
def test_an_answer_that_may_be_a_stream_has_an_end(family: Family) -> None:
    answer = family.answer
    if family.request.streams is not Streams.NEVER:
        assert answer.ends or answer.ends_with_body or answer.fold is Fold.CHOICES or answer.finish_reasons


@each_family
def test_an_error_is_seen_where_every_engine_puts_it(family: Family) -> None:
    assert has_mark({"error": {"message": "no"}}, family.answer.failures)
    assert not has_mark({"error": None}, family.answer.failures)
    assert not has_mark({}, family.answer.failures)


@each_family
def test_marks_are_looked_for_among_texts_and_flags(family: Family) -> None:
    for each in (*family.answer.ends, *family.answer.failures):
        assert each.place
        assert all(isinstance(value, str | bool) for value in each.values)


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("", ()),
        ("usage", ("usage",)),
        ("response.usage", ("response", "usage")),
        ("choices.0.usage", ("choices", 0, "usage")),
        ("choices.*.finish_reason", ("choices", EACH, "finish_reason")),
    ],
)
def test_a_place_is_written_with_dots(place: str, path: tuple[str | int, ...]) -> None:
    assert at(place) == path


DOCUMENT: dict[str, object] = {
    "a": {"b": 7},
    "l": [{"x": ""}, {"x": "first"}, {"x": "last"}, {}, 7],
    "n": None,
}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("", DOCUMENT),
        ("a.b", 7),
        ("a.b.c", None),
        ("a.x", None),
        ("n", None),
        ("n.x", None),
        ("l.1.x", "first"),
        ("l.5.x", None),
        ("l.4.x", None),
        ("l.*.x", "last"),
        ("l.*.y", None),
        ("a.*", None),
        ("a.0", None),
        ("l.x", None),
    ],
)
def test_the_value_at_a_place_is_found_or_there_is_none(place: str, value: object) -> None:
    assert value_at(DOCUMENT, at(place)) == value


@pytest.mark.parametrize("document", [None, 7, "text", [], [[]], True])
def test_there_is_nothing_in_what_has_no_members(document: object) -> None:
    assert value_at(document, at("a.b")) is None
    assert value_at(document, at("0.b")) is None
    assert value_at(document, at("*.b")) is None


@pytest.mark.parametrize(
    ("wanted", "value", "marked"),
    [
        (mark("m"), "x", True),
        (mark("m"), {"x": 1}, True),
        (mark("m"), 1, True),
        (mark("m"), "", False),
        (mark("m"), {}, False),
        (mark("m"), None, False),
        (mark("m"), False, False),
        (mark("m", "x", "y"), "y", True),
        (mark("m", "x", "y"), "z", False),
        (mark("m", "x"), {"x": 1}, False),
        (mark("m", "x"), ["x"], False),
        (mark("m", "x"), None, False),
        (mark("m", True), True, True),
        (mark("m", True), False, False),
        (mark("m", True), "true", False),
    ],
)
def test_a_mark_is_one_of_its_values_or_any_but_an_empty_one(
    wanted: Mark, value: object, marked: bool
) -> None:
    assert has_mark({"m": value}, (mark("other"), wanted)) is marked
