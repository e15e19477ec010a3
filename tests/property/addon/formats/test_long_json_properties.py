"""Reading JSON in steps gives what the parser gives, whatever the text is, and takes and refuses the same."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoebe_addon.formats import long_json
from phoebe_addon.formats.json_members import Member, document_members
from phoebe_addon.formats.long_json import JsonBoundError, long_document_members
from phoebe_addon.formats.steps import at_once

numbers = st.sampled_from(["0", "-0", "-1.5e+10", "1E-2", "10", "1e999", "9" * 40, "-0.0"])
no_numbers = st.sampled_from(["01", "1.", ".5", "-", "+1", "1e", "0x1", "NaN", "Infinity", "tru", "nul"])
strings = st.one_of(
    st.text(max_size=6).map(json.dumps),
    st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(['"\\ud83d\\ude00"', '"\\ud800"', '"\\u00e9\\n\\\\\\""', '"\\/\\b\\f"']),
)
no_strings = st.sampled_from(['"\\x"', '"\\u12"', '"\t"', '"\n"', '"', '"\\', "'a'", '"\\u123g"'])
scalars = st.one_of(numbers, strings, st.sampled_from(["true", "false", "null"]))
blanks = st.text(" \t\r\n", max_size=3)


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(blanks, strings, blanks, blanks, values, blanks).map(
        lambda parts: "{}{}{}:{}{}{}".format(*parts)
    )
    return st.lists(member, max_size=4).map(lambda members: "{" + ",".join(members) + "}")


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    element = st.tuples(blanks, values, blanks).map("".join)
    return st.lists(element, max_size=5).map(lambda elements: "[" + ",".join(elements) + "]")


values = st.recursive(scalars, lambda inner: st.one_of(objects(inner), arrays(inner)), max_leaves=12)
documents = st.tuples(blanks, objects(values), blanks).map("".join)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Draw a document in which something is cut out, put in or taken from another place."""
    content = draw(documents).encode()
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 4)))
    put_in = draw(
        st.one_of(
            st.binary(max_size=3),
            no_numbers.map(str.encode),
            no_strings.map(str.encode),
            st.sampled_from([b",", b"}", b"]", b"{", b"[", b":", b'"', b"\\", b"\xc3", b"\xed\xa0\x80"]),
        )
    )
    return content[:start] + put_in + content[end:]


def shortened(value: object) -> object:
    """Leave out what is not kept: in an array, what is neither a string nor a container."""
    if isinstance(value, dict):
        return {name: shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shortened(each) for each in value if isinstance(each, str | dict | list)]
    return value


def read(content: bytes) -> list[Member]:
    return at_once(long_document_members(content))


def longest_number(content: bytes) -> int:
    """Return how long the longest number is, or what looks like one. A step must be able to hold it."""
    return max(map(len, re.findall(rb"[-+.0-9eE]+", content)), default=0)


@pytest.fixture(autouse=True, params=[7, 16, 16 * 1024])
def step_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How much a step reads. An escape has 6 bytes, which a step must be able to hold."""
    monkeypatch.setattr(long_json, "_STEP_BYTES", request.param)
    monkeypatch.setattr(long_json, "_STEP_TOKENS", 3)
    monkeypatch.setattr(long_json, "_UTF8_STEP_BYTES", request.param)
    return int(request.param)


@settings(max_examples=100)
@given(documents)
@example('{"a":[1,2,3,"b",4,{"c":[true,false,null]},5]}')
@example('{"a":"\\ud83d\\ude00"}')
def test_what_is_read_is_what_the_parser_reads_and_stands_where_it_does(text: str) -> None:
    content = text.encode()
    try:
        found = read(content)
    except JsonBoundError:
        assert longest_number(content) >= long_json._STEP_BYTES
        return
    wanted = document_members(text, strict=True)

    assert [member.name for member in found] == [member.name for member in wanted]
    assert [shortened(member.value) for member in found] == [shortened(member.value) for member in wanted]
    for member, other in zip(found, wanted, strict=True):
        assert content[member.start : member.end].decode() == text[other.start : other.end]
        assert content[member.name_start : member.end].decode() == text[other.name_start : other.end]


@settings(max_examples=200)
@given(broken())
@example(b'{"a":1')
@example(b'{"a":1}}')
@example(b'{"a":[1 2]}')
@example(b'{"a":[1,]}')
@example(b'{"a":[1,2,]}')
@example(b'{,"a":1}')
@example(b'{"a":1,}')
@example(b'{"a" 1}')
@example(b'{"a":[01,1]}')
@example(b'{"a":[1,1.,1]}')
@example(b'{"a":[truefalse,1]}')
@example(b"")
@example(b"[]")
@example(b'\xef\xbb\xbf{"a":1}')
@example(b'{"a":]}')
@example(b'{"a":[}]')
@example(b'{"a":999990.99}')
@example(b'{"a":99999e+12}')
@example(b'{"a":999999e+1}')
def test_what_the_parser_refuses_is_refused_and_nothing_else(content: bytes) -> None:
    try:
        document_members(content.decode("utf-8"), strict=True)
        good = True
    except ValueError:
        good = False
    try:
        read(content)
    except JsonBoundError:
        assert longest_number(content) >= long_json._STEP_BYTES
    except ValueError:
        assert not good
    else:
        assert good
