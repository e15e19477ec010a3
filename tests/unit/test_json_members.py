import pytest

from phoebe_addon.json_members import document_members, last_member, object_members, without_member


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
        '{"a\n":1}',
        '{"a":"\x01"}',
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
    assert without_member(text, "u") == rest


def test_many_members_of_one_name_are_taken_out_in_one_pass() -> None:
    count = 100_000  # a pass for each would take minutes

    assert without_member('{"a":1,' + '"u":1,' * count + '"b":2}', "u") == '{"a":1,"b":2}'
