"""A file of settings: what it may say, and how what is wrong is named. The addon has the same module."""

from pathlib import Path

import pytest

from phoebe_runtime.settings_file import (
    FileValue,
    SettingsFileError,
    parse_settings,
    read_settings_file,
    without_passwords,
)

KNOWN = {"rater": {"listen", "late_days"}}


def test_values_are_texts_with_their_lines_and_other_sections_are_others() -> None:
    text = "addon:\n  whatever: 1\nrater:\n  listen: a:1\n  late_days: 0x10\n"
    assert parse_settings(text, "f", KNOWN) == {
        "rater": {"listen": FileValue(("a:1",), False, 4), "late_days": FileValue(("0x10",), False, 5)}
    }
    lists = parse_settings("rater: { listen: [a, b] }", "f", KNOWN)
    assert lists["rater"]["listen"] == FileValue(("a", "b"), True, 1)


@pytest.mark.parametrize("text", ["", "# nothing\n", "rater:\n", "rater:\nproxy:\n", "rater: {}"])
def test_nothing_is_set_where_nothing_is_said(text: str) -> None:
    assert parse_settings(text, "f", KNOWN) == {"rater": {}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ratr: {}", "f, line 1: there is no section ratr; did you mean rater?"),
        ("rater:\n  late_day: 1", "f, line 2: there is no key late_day; did you mean late_days?"),
        ("rater:\n  zzz: 1", "f, line 2: there is no key zzz"),
        ("rater:\n  listen: a\n  listen: b", "f, line 3: the key listen is there twice"),
        ("rater: 1", "f, line 1: the section rater does not have keys and values"),
        ("addon: 1", "f, line 1: the section addon does not have keys and values"),
        ("- rater", "f, line 1: the file does not have keys and values"),
        ("rater:\n  listen:", "f, line 2: listen has no value"),
        ("rater:\n  listen: ' '", "f, line 2: listen has no value"),
        ("rater:\n  listen: { a: 1 }", "f, line 2: listen is neither a value nor a list of values"),
        ("rater:\n  listen: [[a]]", "f, line 2: listen is neither a value nor a list of values"),
        ("rater: [", "f: is no YAML"),
        ("ratr: {}\nrater:\n  lisen: a", "f, line 3: there is no key lisen; did you mean listen?"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(SettingsFileError) as raised:
        parse_settings(text, "f", KNOWN)
    assert said in str(raised.value)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"#" * 1_000_001)
    for name, said in (("missing", "No such file"), ("binary", "can't be read"), ("large", "is larger than")):
        with pytest.raises(SettingsFileError, match=said):
            read_settings_file(tmp_path / name, KNOWN)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p/a:@ss@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u@h/d?password=x&sslpassword=y", "postgresql://u@h/d?password=***&sslpassword=***"),
        ("https://h:8000/v1", "https://h:8000/v1"),
        ("a:1", "a:1"),
    ],
)
def test_passwords_are_hidden(url: str, shown: str) -> None:
    assert without_passwords(url) == shown
