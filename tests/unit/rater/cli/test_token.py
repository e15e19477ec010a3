import stat
from pathlib import Path

import pytest

from rater_service.cli import main
from rater_service.service.access_list import parse_access_list
from tests.harness import json_documents

type Capture = pytest.CaptureFixture[str]


def test_a_new_token_is_shown_once_beside_the_line_that_lets_it_in(capsys: Capture) -> None:
    assert main(["token", "new", "addon-1", "--rights", "produce,read"]) == 0

    written = capsys.readouterr()
    token = written.err.strip().removeprefix("token, shown this once: ")
    caller = parse_access_list(written.out, "tokens").caller_of_token(token)
    assert caller
    assert (caller.name, set(caller.rights)) == ("addon-1", {"produce", "read"})
    assert token not in written.out


def test_a_token_can_go_to_a_file_that_only_its_owner_reads(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "token"
    command = ["token", "new", "addon-1", "--rights", "produce", "--out", str(file)]
    assert main(command) == 0

    written = capsys.readouterr()
    token = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert parse_access_list(written.out, "tokens").caller_of_token(token)
    assert token not in written.out + written.err

    assert main(command) == 1
    assert "File exists" in capsys.readouterr().err
    assert file.read_text().strip() == token


def test_a_token_as_json_is_pure_json(capsys: Capture) -> None:
    assert main(["token", "new", "addon-1", "--rights", "read,rate", "--json"]) == 0

    written = capsys.readouterr()
    made = json_documents.read(written.out)
    assert written.err == ""
    assert (made["name"], made["rights"]) == ("addon-1", ["rate", "read"])
    assert parse_access_list(made["line"], "tokens").caller_of_token(made["token"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["addon-1"],
        ["addon-1", "--rights", "all"],
        ["addon-1", "--rights", ""],
        ["two words", "--rights", "read"],
    ],
)
def test_a_token_without_a_name_or_rights_that_exist_is_not_made(
    arguments: list[str], capsys: Capture
) -> None:
    assert main(["token", "new", *arguments]) == 1

    written = capsys.readouterr()
    assert written.out == ""
    assert "Usage: phoebe token new" in written.err
