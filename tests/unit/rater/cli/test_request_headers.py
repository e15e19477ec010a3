from pathlib import Path

import pytest

from rater_service.cli.request_headers import HeaderError, read_headers


def test_headers_come_from_the_command_line_and_from_files(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer a:b\n\n  \nX-Empty-Follows:c\n")

    assert read_headers(["X-One:  1 ", f"@{file}", "X-One: 2"]) == (
        ("X-One", "1"),
        ("Authorization", "Bearer a:b"),
        ("X-Empty-Follows", "c"),
        ("X-One", "2"),
    )
    assert read_headers([]) == ()


@pytest.mark.parametrize(
    "header",
    ["", "X", ":", ": secret", "X:", "X: ", "X Y: secret", "X: secret\r\nY: 1", "X: sécret", "X\n: secret"],
)
def test_a_header_that_can_not_be_sent_is_named_without_its_value(header: str) -> None:
    with pytest.raises(HeaderError, match="number 2: must be written") as raised:
        read_headers(["X: 1", header])

    assert "ecret" not in str(raised.value)


def test_a_fault_in_a_file_is_told_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("X: 1\nsecret\n")
    with pytest.raises(HeaderError, match="headers, line 2: must be written") as raised:
        read_headers([f"@{file}"])

    assert "secret" not in str(raised.value)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeaderError, match="nowhere: No such file"):
        read_headers([f"@{tmp_path}/nowhere"])
    (tmp_path / "latin").write_bytes(b"X: \xe9\n")
    with pytest.raises(HeaderError, match="latin: it is not UTF-8"):
        read_headers([f"@{tmp_path}/latin"])
