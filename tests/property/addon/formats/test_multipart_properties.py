"""Forms, read and added to, against the form parser of Starlette, which engines written in Python use."""

import asyncio
from collections.abc import AsyncGenerator

from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from phoebe_addon.formats.multipart_body import Form, FormError, read_form, with_fields
from phoebe_addon.formats.steps import at_once
from tests.harness.documents import cut, places

# Boundaries of which one begins like another, or like a line of a form.
boundaries = st.sampled_from(["b", "bb", "-", "--", "b-", "----WebKitFormBoundary7f3a", "a'()+_,./:=?"])
names = st.one_of(
    st.sampled_from(["model", "stream", "stream_include_usage", "file"]),
    st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n\0;'), min_size=1, max_size=4),
)
line_like = st.sampled_from([b"\r\n", b"--b", b"\r\n--", b"--b--", b"\r", b"\n", b"true", b"\xff", b"x"])
contents = st.one_of(
    st.binary(max_size=12), st.lists(line_like, max_size=6).map(b"".join), st.sampled_from([b"true", b"m"])
)
more_headers = st.sampled_from(["", "", "\r\nContent-Type: text/plain; charset=utf-16", "\r\nX-Y:  z"])


@st.composite
def forms(draw: st.DrawFn) -> tuple[bytes, str]:
    """Draw a form as clients write it, or nearly, and its content type."""
    boundary = draw(boundaries)
    parts: list[bytes] = [draw(st.sampled_from([b"", b"", b"\r\n"]))]
    for _ in range(draw(st.integers(0, 4))):
        file = draw(st.sampled_from(["", "", '; filename="a.wav"', '; filename=""']))
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{draw(names)}"{file}'
        parts.append(f"{head}{draw(more_headers)}\r\n\r\n".encode() + draw(contents) + b"\r\n")
    end = draw(st.sampled_from([b"", b"", b"\r\n", b"\r\n", b"\r\nepilogue\r\n--b--\r\n", b"--b\r\n\r\n"]))
    parts.append(f"--{boundary}--".encode() + end)
    return b"".join(parts), f'multipart/form-data; boundary="{boundary}"'


type Fields = list[tuple[str, str | None]]
"""Names and values; None: a file."""


async def _parse(chunks: list[bytes], content_type: str) -> Fields:
    async def stream() -> AsyncGenerator[bytes, None]:
        for chunk in chunks:
            yield chunk

    form = await MultiPartParser(Headers({"content-type": content_type}), stream()).parse()
    fields = [(name, None if isinstance(value, UploadFile) else value) for name, value in form.multi_items()]
    await form.close()
    return fields


def starlette_fields(chunks: list[bytes], content_type: str) -> Fields | None:
    """Read a form as engines do; None: it is refused."""
    try:
        return asyncio.run(_parse(chunks, content_type))
    except MultiPartException:
        return None


def is_utf8(text: str | None) -> bool:
    """Whether a text was UTF-8; what was not is read by each in its own way."""
    return text is None or "\N{REPLACEMENT CHARACTER}" not in text


def read(content: bytes, content_type: str) -> Form | None:
    try:
        return at_once(read_form(content, content_type))
    except FormError:
        return None


def flat(form: Form) -> list[tuple[str, str]]:
    return sorted((name, value) for name, values in form.fields.items() for value in values)


@settings(max_examples=200)
@given(forms(), places)
def test_the_fields_that_are_found_are_those_that_an_engine_finds(
    form: tuple[bytes, str], at: list[int]
) -> None:
    content, content_type = form
    ours, theirs = read(content, content_type), starlette_fields(cut(content, at), content_type)

    if ours is None:
        return
    assert theirs is not None
    if all(is_utf8(name) and is_utf8(value) for name, value in flat(ours)):
        assert flat(ours) == sorted((name, value) for name, value in theirs if value is not None)


@settings(max_examples=200)
@given(forms(), names, st.sampled_from(["true", "1"]))
def test_a_field_that_is_added_is_the_last_an_engine_finds_and_all_others_stay(
    form: tuple[bytes, str], name: str, value: str
) -> None:
    content, content_type = form
    ours, before = read(content, content_type), starlette_fields([content], content_type)
    if ours is None or before is None:
        return

    added = with_fields(content, ours, {name: value})

    assert starlette_fields([added], content_type) == [*before, (name, value)]
    reread = read(added, content_type)
    assert reread is not None
    assert reread.fields[name][-1] == value


@settings(max_examples=200)
@given(forms(), names)
def test_adding_a_field_changes_no_other_byte(form: tuple[bytes, str], name: str) -> None:
    content, content_type = form
    ours = read(content, content_type)
    if ours is None:
        return

    added = with_fields(content, ours, {name: "true"})

    length = len(added) - len(content)
    head = f'\r\nContent-Disposition: form-data; name="{name}"\r\n\r\ntrue\r\n'
    part = b"--" + ours.boundary + head.encode()
    assert length == len(part)
    assert any(
        added[:place] + added[place + length :] == content and added[place : place + length] == part
        for place in range(len(content) + 1)
    )


headers = st.one_of(
    st.sampled_from(["multipart/form-data; boundary=b", "multipart/form-data; boundary=b; charset=utf-16"]),
    st.text(max_size=20),
    st.text(max_size=9).map(lambda text: f"multipart/form-data; boundary=b{text}"),
    st.text(max_size=9).map(lambda text: f"multipart/form-data; {text}; boundary=b"),
)
fragments = st.sampled_from(
    [
        *(b"--b\r\n", b"--b--", b"\r\n", b"\r\n\r\n", b"--b--: x"),
        b'Content-Disposition: form-data; name="stream"',
    ]
)
hostile = st.lists(st.one_of(fragments, st.binary(max_size=3)), max_size=10).map(b"".join)


@settings(max_examples=300)
@given(hostile, headers)
@example(b'--b\r\n--b--: x\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n--b--', "")
def test_any_bytes_are_a_form_to_an_engine_too_or_refused(content: bytes, content_type: str) -> None:
    content_type = content_type or "multipart/form-data; boundary=b"
    ours = read(content, content_type)
    if ours is None:
        return

    theirs = starlette_fields([content], content_type)
    if theirs is not None and all(is_utf8(name) and is_utf8(value) for name, value in flat(ours)):
        assert flat(ours) == sorted((name, value) for name, value in theirs if value is not None)
        added = with_fields(content, ours, {"stream_include_usage": "true"})
        assert starlette_fields([added], content_type) == [*theirs, ("stream_include_usage", "true")]
