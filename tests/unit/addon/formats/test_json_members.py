import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phoebe_addon.formats.json_members import (
    changes_without,
    document_members,
    element_texts,
    last_member,
    object_members,
    only_member_text,
    replaced,
    text_at,
)


def test_members_are_found_where_they_stand() -> None:
    text = ' { "a" : [1, {"b": 2}] ,"c":null } '

    members = document_members(text)

    assert [(member.name, member.value) for member in members] == [("a", [1, {"b": 2}]), ("c", None)]
    assert [text[member.name_start : member.end] for member in members] == ['"a" : [1, {"b": 2}]', '"c":null']
    assert [text[member.start : member.end] for member in members] == ['[1, {"b": 2}]', "null"]


def test_an_object_inside_a_text_ends_where_its_brace_closes() -> None:
    assert object_members('x{"a":{}}y', 1)[1] == 9


def test_members_of_one_name_are_all_reported_and_the_last_counts() -> None:
    members = document_members('{"a":1,"b":2,"\\u0061":3}')

    assert [member.name for member in members] == ["a", "b", "a"]
    found = last_member(members, "a")
    assert found is not None
    assert found.value == 3
    assert last_member(members, "z") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "[]",
        '"a"',
        "1",
        "{",
        "{}x",
        "{} {}",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        '{,"a":1}',
        "{a:1}",
        "{'a':1}",
        '{"a":1 "b":2}',
        '{"a":1}\x00',
        '\ufeff{"a":1}',
        '{"a":"',
        '{"a":"\\ud8"}',
        '{"a":01}',
        '{"a":+1}',
        '{"a":tru}',
        '\xa0{"a":1}',
    ],
)
def test_what_is_not_one_json_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        document_members(text)


@pytest.mark.parametrize("text", ['{"a\n":1}', '{"a":"\x01"}', '{"a":["\t"]}'])
def test_control_characters_in_strings_are_refused_only_by_strict_reading(text: str) -> None:
    assert len(document_members(text)) == 1
    with pytest.raises(ValueError, match="control character"):
        document_members(text, strict=True)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused_only_by_strict_reading(constant: str) -> None:
    text = f'{{"a":{{"b":[{constant}]}}}}'

    assert [member.name for member in document_members(text)] == ["a"]
    with pytest.raises(ValueError, match=f"^{constant} is not JSON$"):
        document_members(text, strict=True)


def test_integers_of_any_length_are_taken() -> None:
    text = f'{{"a":{"9" * 5000},"b":1}}'

    assert [member.end - member.start for member in document_members(text, strict=True)] == [5000, 1]


def test_nesting_that_is_too_deep_is_an_error_of_its_own() -> None:
    with pytest.raises(RecursionError):
        document_members('{"a":' + "[" * 200_000 + "]" * 200_000 + "}")


def edited(text: str, removed: set[str], nulled: set[str] | None = None) -> str:
    changes = changes_without(document_members(text), removed, nulled or set())
    return replaced(text, [(start, end, "null" if null else "") for start, end, null in changes])


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('{"u":1}', "{}"),
        (' { "u" : 1 } ', " {  } "),
        ('{"u":1,"a":2}', '{"a":2}'),
        ('{"a":2,"u":1}', '{"a":2}'),
        ('{ "a" : 2 , "u" : 1 , "b" : 3 }', '{ "a" : 2 , "b" : 3 }'),
        ('{"u":1,"u":2}', "{}"),
        ('{"u":1,"a":2,"u":3}', '{"a":2}'),
        ('{"a":2,"u":1,"u":{"u":1}}', '{"a":2}'),
        ('{"a":2, "u":1, "u":2, "b":3}', '{"a":2, "b":3}'),
        ('{"\\u0075":1,"a":2}', '{"a":2}'),
        ('{"a":{"u":1}}', '{"a":{"u":1}}'),
        ("{}", "{}"),
    ],
)
def test_members_are_taken_out_and_everything_else_stays(text: str, rest: str) -> None:
    assert edited(text, {"u"}) == rest


def test_many_members_of_one_name_are_taken_out_in_one_pass() -> None:
    count = 100_000  # a pass for each would take minutes

    assert edited('{"a":1,' + '"u":1,' * count + '"b":2}', {"u"}) == '{"a":1,"b":2}'


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ('{"u":1}', '{"u":null}'),
        (' { "u" : {"u": 1} , "a" : 2 } ', ' { "u" : null , "a" : 2 } '),
        ('{"u":1,"\\u0075":2}', '{"u":null,"\\u0075":null}'),
        ('{"u":null}', '{"u":null}'),
        ('{"a":{"u":1}}', '{"a":{"u":1}}'),
        ("{}", "{}"),
    ],
)
def test_members_become_null_and_everything_else_stays(text: str, changed: str) -> None:
    assert edited(text, set(), {"u"}) == changed


def test_some_members_are_taken_out_and_others_become_null() -> None:
    text = '{"a":1, "u":1, "v":2, "b":3, "u":4}'

    assert edited(text, {"u"}, {"v", "u"}) == '{"a":1, "v":null, "b":3}'


def test_parts_of_a_text_are_replaced_from_front_to_back() -> None:
    assert replaced("abcdef", []) == "abcdef"
    assert replaced("abcdef", [(0, 1, "xx"), (1, 1, "-"), (4, 6, "")]) == "xx-bcd"


DOCUMENT = ' {"a": [ {"b" : 1.50} ,2, [3 ,4]], "c":{"d":null},"a":{"b": "last"}, "e" :[]} '


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ((), DOCUMENT.lstrip()),
        (("a",), '{"b": "last"}'),
        (("a", "b"), '"last"'),
        (("c", "d"), "null"),
        (("e",), "[]"),
        (("x",), None),
        (("c", "x"), None),
        (("c", "d", "x"), None),
        (("e", 0), None),
        (("a", 0), None),
    ],
)
def test_the_text_of_a_value_is_found_at_its_place(path: tuple[str | int, ...], found: str | None) -> None:
    assert text_at(DOCUMENT, path) == found


def test_the_text_of_an_element_is_found_at_its_place() -> None:
    text = '[ {"b" : 1.50} ,2, [3 ,4]]'

    assert text_at(text, (0,)) == '{"b" : 1.50}'
    assert text_at(text, (0, "b")) == "1.50"
    assert text_at(text, (2, 1)) == "4"
    assert text_at(text, (3,)) is None


@pytest.mark.parametrize("text", ["", "{", "nonsense", '{"a":', '{"a":1,}', '{"a":[1'])
def test_there_is_nothing_at_a_place_of_what_is_not_json(text: str) -> None:
    assert text_at(text, ("a", "b")) is None
    assert text_at(text, ("a", 0)) is None


def test_there_is_nothing_at_a_place_of_what_is_nested_too_deeply() -> None:
    assert text_at('{"a":' + "[" * 200_000 + "]" * 200_000 + "}", ("b",)) is None


def test_of_an_object_only_some_members_are_given_as_they_are_written() -> None:
    text = '{"x": {"prompt" : 1 ,"other":[1],\n"completion":2.0, "prompt":3}}'

    assert text_at(text, ("x",), ("completion", "prompt")) == '{"prompt" : 1,"completion":2.0,"prompt":3}'
    assert text_at(text, ("x",), ("missing",)) == "{}"
    assert text_at('{"x":7}', ("x",), ("prompt",)) is None


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("[]", []),
        (" [ ] ", []),
        ("[1]", ["1"]),
        (' [ {"a" : [1, 2]} , "],[" ,null] ', ['{"a" : [1, 2]}', '"],["', "null"]),
    ],
)
def test_the_texts_of_elements_are_listed(text: str, elements: list[str]) -> None:
    assert element_texts(text, ()) == elements
    assert element_texts(f'{{"r" :{text}}}', ("r",)) == elements


def test_the_elements_of_what_is_no_array_are_an_error() -> None:
    for text in ("{}", "7", "[1", "[1 2]", "["):
        with pytest.raises(ValueError, match=r"\w"):
            element_texts(text, ())
    with pytest.raises(LookupError):
        element_texts("{}", ("r",))


words = st.sampled_from(["usage", 'a"usage', "usage\\", "x", "ú", "usage: 1", '"usage":'])
values = st.recursive(
    words | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(words, values, max_size=4), values, st.booleans(), st.sampled_from([None, 2]))
@example({"x": "usage"}, {"a": 1}, True, None)
@example({"x": {"usage": 1}}, {"a": 1}, False, None)
def test_a_member_whose_name_stands_once_is_found_without_the_others(
    others: dict[str, object], usage: object, is_ascii: bool, indent: int | None
) -> None:
    text = json.dumps({**others, "usage": usage}, ensure_ascii=is_ascii, indent=indent)

    assert only_member_text(text, "usage") in {None, text_at(text, ("usage",))}


@pytest.mark.parametrize(
    "text",
    [
        '{"us\\u0061ge":{"a":1},"x":{"usage":{"a":2}}}',
        '{"usage":{"a":1},"usage":{"a":2}}',
        '{"x":"usage","us\\u0061ge":1}',
        '{"usage"}',
        '{"usage":',
        "{}",
    ],
)
def test_what_does_not_stand_there_plainly_is_left_to_who_reads_all(text: str) -> None:
    assert only_member_text(text, "usage") is None


def test_a_member_that_stands_plainly_is_found() -> None:
    assert only_member_text('{"x":[1],"usage" : {"a": 1} ,"y":2}', "usage") == '{"a": 1}'
