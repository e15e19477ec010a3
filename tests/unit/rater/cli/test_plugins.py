"""Commands that other packages plug into the command line."""

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from rater_service.cli import main

URL = "http://127.0.0.1:9"


def test_a_command_of_another_package_is_listed_with_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0

    names = re.findall(r"^  (\S+)", capsys.readouterr().out.partition("Commands:")[2], re.MULTILINE)
    assert names[0] == "serve"
    groups = ("phoebe.plain_commands", "phoebe.commands")
    brought = sorted(name for group in groups for name in entry_points(group=group).names)
    assert {"addon-path", "conformance", "proxy"} <= set(brought)
    assert names[-len(brought) :] == brought


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([URL], "--model"),
        (["--model", "m"], "URL"),
        (["ftp://x", "--model", "m"], "must start with http"),
        ([f"{URL}/v1", "--model", "m"], "must not end with /v1"),
        (["http://me:secret@x", "--model", "m"], "must not have a user name or password"),
        ([URL, "--model", "m", "--api", "openai.images"], "known are openai.chat"),
        ([URL, "--model", "m", "--engine", "steam"], "known: vLLM"),
        ([URL, "--model", "m", "--models", "other"], "Phoebe would refuse it"),
        ([URL, "--model", "m", "--header", "secret"], "number 1: must be written"),
        ([URL, "--model", "m", "--usage", "never"], "final"),
        ([URL, "--model", "m", "--timeout", "0"], "--timeout"),
        ([URL, "--model", "m", "--prompt-tokens", "0"], "--prompt-tokens"),
        ([URL, "--model", "m", "--ca-file", "/nowhere"], "does not exist"),
    ],
)
def test_wrong_usage_fails_and_says_so_without_secrets(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["conformance", *arguments]) == 1

    written = capsys.readouterr()
    assert written.out == ""
    assert "Usage: phoebe conformance" in written.err
    assert said in " ".join(written.err.split())
    assert "secret" not in written.err


def test_a_file_without_certificates_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "no.pem"
    file.write_text("nothing")
    assert main(["conformance", URL, "--model", "m", "--ca-file", str(file)]) == 1

    assert f"{file}: no certificates can be read from it" in capsys.readouterr().err
