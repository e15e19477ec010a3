import pytest

from phoebe_addon.formats.multipart_body import Form, FormError, read_form, with_fields
from phoebe_addon.formats.steps import at_once

TYPE = "multipart/form-data; boundary=b"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


END = b"--b--\r\n"
FILE = part("file", b"RIFF\xff\r\n--\r\n--c--\r\n\x00", '; filename="a.wav"\r\nContent-Type: audio/wav')
STREAM = part("stream", b"true")


def test_the_fields_of_a_form_are_read_and_its_files_are_not() -> None:
    content = part("model", b"a") + FILE + STREAM + part("model", "ü".encode()) + END

    assert at_once(read_form(content, TYPE)) == Form(
        b"b", {"model": ("a", "ü"), "stream": ("true",)}, len(content) - len(END)
    )


def test_an_empty_form_has_no_fields() -> None:
    assert at_once(read_form(END, TYPE)).fields == {}


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="b"',
        "Multipart/Form-Data;Boundary=b",
        "multipart/form-data; x=y; boundary=b",
        "multipart/form-data; boundary=b; charset=UTF-8",
        "multipart/form-data; boundary=b; charset=utf8",
    ],
)
def test_a_form_is_known_by_its_content_type(content_type: str) -> None:
    assert at_once(read_form(STREAM + END, content_type)).fields == {"stream": ("true",)}


@pytest.mark.parametrize(
    ("content_type", "fault"),
    [
        ("", "not multipart/form-data with a boundary"),
        ("application/json", "not multipart/form-data with a boundary"),
        ("multipart/form-data", "not multipart/form-data with a boundary"),
        ("multipart/form-data; boundary=", "not multipart/form-data with a boundary"),
        ("multipart/mixed; boundary=b", "not multipart/form-data with a boundary"),
        ("application/x-www-form-urlencoded", "not multipart/form-data with a boundary"),
        ("multipart/form-data; boundary=b\udcff", "not ASCII"),
        ("multipart/form-data; boundary=b; charset=utf-16", "not UTF-8"),
        ("multipart/form-data; boundary=b; charset=latin-1", "not UTF-8"),
        (f"multipart/form-data; boundary={'b' * 5000}", r"\w"),
        ('multipart/form-data; boundary="b /v1/models HTTP/1.1"', "boundary has characters"),
        ('multipart/form-data; boundary="b\tb"', "boundary has characters"),
    ],
)
def test_what_is_not_called_a_form_in_utf8_is_refused(content_type: str, fault: str) -> None:
    with pytest.raises(FormError, match=fault) as raised:
        at_once(read_form(STREAM + END, content_type))

    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        STREAM,
        STREAM + b"--b-",
        STREAM + b"--c--\r\n",
        STREAM[:30],
        b"--b\n" + STREAM[5:] + END,
        b"--b\r\nno header\r\n\r\n" + END,
        b"--b\r\n: x\r\n\r\n\r\n" + END,
        b"x" + STREAM + END,
        STREAM + END + b"POST /v1/completions HTTP/1.1\r\n\r\n",
        STREAM + END + b"--b\r\n",
        STREAM + END + b" ",
    ],
)
def test_what_is_not_a_whole_form_is_refused(content: bytes) -> None:
    with pytest.raises(FormError, match=r"\w"):
        at_once(read_form(content, TYPE))


def test_a_form_of_more_parts_than_any_client_sends_is_refused() -> None:
    assert len(at_once(read_form(STREAM * 1000 + END, TYPE)).fields["stream"]) == 1000
    with pytest.raises(FormError, match="more than 1000 parts"):
        at_once(read_form(STREAM * 1001 + END, TYPE))


def test_a_field_longer_than_any_client_sends_is_refused_and_a_file_is_not() -> None:
    length = 64 * 1024

    assert len(at_once(read_form(part("prompt", b"x" * length) + END, TYPE)).fields["prompt"][0]) == length
    with pytest.raises(FormError, match="longer than 65536 bytes"):
        at_once(read_form(part("prompt", b"x" * (length + 1)) + END, TYPE))
    at_once(read_form(part("file", b"x" * (length + 1), '; filename=""') + END, TYPE))


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert at_once(read_form(part("model", b"a\xffb") + END, TYPE)).fields == {
        "model": ("a\N{REPLACEMENT CHARACTER}b",)
    }


def test_a_part_without_a_name_hides_no_other() -> None:
    content = b"--b\r\nX: y\r\n\r\nx\r\n" + STREAM + END

    assert at_once(read_form(content, TYPE)).fields == {"": ("x",), "stream": ("true",)}


def test_the_name_of_one_part_is_not_that_of_the_next() -> None:
    content = STREAM + b"--b\r\nX: y\r\n\r\nx\r\n" + END

    assert at_once(read_form(content, TYPE)).fields == {"stream": ("true",), "": ("x",)}


@pytest.mark.parametrize("behind", [b"", b"\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize(
    "before",
    [
        *(b"", STREAM, FILE, STREAM + FILE, b"\r\n" + STREAM, part("empty", b"")),
        # Clients that would like to see the field added where it is none.
        part("x", b"--b--"),
        part("x", b"--b--\r\n"),
        part("x", b"--b--", '; filename="a"'),
        part("x", b"true", "\r\n--b--: x"),
        part("x", b"", "\r\nX: --b--"),
        STREAM + part("x--b--", b"true"),
    ],
)
def test_a_field_is_added_behind_all_others_and_no_other_byte_changes(before: bytes, behind: bytes) -> None:
    content = before + b"--b--" + behind

    added = with_fields(content, at_once(read_form(content, TYPE)), {"stream_include_usage": "true"})

    assert added == before + part("stream_include_usage", b"true") + b"--b--" + behind
    assert at_once(read_form(added, TYPE)).fields["stream_include_usage"] == ("true",)


def test_of_fields_that_are_added_the_last_stands_last() -> None:
    content = STREAM + END

    added = with_fields(content, at_once(read_form(content, TYPE)), {"x": "true", "y": "false"})

    assert added == STREAM + part("x", b"true") + part("y", b"false") + END
