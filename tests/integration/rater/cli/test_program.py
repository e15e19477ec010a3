"""The command line as a program, and databases that it can't reach."""

import subprocess
import sys

import pytest

from rater_service.cli import main

type Capture = pytest.CaptureFixture[str]


def test_the_command_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "rater_service.cli", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)

    assert run.stdout.startswith("phoebe ")
    assert run.stderr == ""


@pytest.mark.parametrize("command", [["rate"], ["migrate"], ["serve"], ["quote", "m"]])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@127.0.0.1:1/phoebe",
        "postgresql://me@127.0.0.1:1/phoebe?password=s3cret",
        "postgresql://me:pass/s3cret@127.0.0.1:1/phoebe",
        "postgresql://me:s3cret@127.0.0.1:port/phoebe",
        "postgresql://me:s3cret@/phoebe?host=/nowhere",
        "postgresql://me:s3cret@[::1/phoebe",
        "postgres//me:s3cret@127.0.0.1/phoebe",
        "postgresql://me:s3cret@127.0.0.1:1/phoebe?sslmode=s3cret",
        "postgresql://me:%zz-s3cret@127.0.0.1:1/phoebe",
    ],
)
def test_a_database_that_cannot_be_used_is_a_failure_without_the_password(
    url: str, command: list[str], capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    assert main([*command, "--database-url", url]) == 1

    shown = capsys.readouterr().err
    assert "database" in shown.lower()
    assert "s3cret" not in shown + caplog.text
