"""What real shells complete with the scripts of `phoebe completion`, as docs/command-line.md says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rater_service.cli import main

type Capture = pytest.CaptureFixture[str]

BASH = """
source "$1"
COMP_WORDS=($2)
[[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_phoebe_completion phoebe
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = 'source $argv[1]; complete -C "$argv[2]"'
ZSH = """
compdef() { print -r -- "$1"; }
source "$1"
_arguments() { :; }
_describe() { :; }
env _TYPER_COMPLETE_ARGS="$2" _PHOEBE_COMPLETE=complete_zsh phoebe
"""
COMMANDS = {"bash": ("-c", BASH), "fish": ("-c", FISH), "zsh": ("-f", "-c", ZSH)}


def completed(shell: str, written: str, folder: Path, capsys: Capture) -> str:
    assert main(["completion", shell]) == 0
    script = folder / f"phoebe.{shell}"
    script.write_text(capsys.readouterr().out)
    name = ["shell"] if shell != "fish" else []
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        # A shell completes although a variable is misspelt.
        "PHOEBE_LISTEM": "x",
    }
    command = [shell, *COMMANDS[shell], *name, str(script), written]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("shell", COMMANDS)
def test_commands_options_and_values_are_completed(shell: str, tmp_path: Path, capsys: Capture) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for written, found, not_found in (
        ("phoebe pro", ("producers", "proxy"), "prices"),
        ("phoebe prices ", ("check", "diff"), "rejected"),
        ("phoebe report --str", ("--strict",), "--since"),
        ("phoebe serve --log-format ", ("human", "json"), "--listen"),
        ("phoebe proxy --", ("--workers", "--reload-timeout", "--show-config"), "--spool"),
        ("phoebe deliver --s", ("--spool", "--set"), "--rater"),
    ):
        said = completed(shell, written, tmp_path, capsys)
        assert all(name in said for name in found), (written, said)
        assert not_found not in said


def test_other_shells_are_refused(capsys: Capture) -> None:
    assert main(["completion", "tcsh"]) == 1
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in capsys.readouterr().err
