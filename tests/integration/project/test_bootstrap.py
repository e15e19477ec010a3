"""The bootstrap decides which Python is used before anything is installed, and says what it lacks.

The interpreters, their pip and uv are shell scripts here that note what they are asked for.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
ABSOLUTE = re.compile(r" /usr/(local/)?bin/python3")
TOOLS = ("sh", "ls", "mkdir", "tail", "cp", "chmod", "cat")

# A Python that is too old, or (FITS=0) one that fits. Its pip "installs" the uv beside this script.
PYTHON = """#!/bin/sh
echo "{name} $*" >> "$NOTES"
case "$*" in
  *version_info*"(3, 12)"*) exit {unfit} ;;
  *"Python %d"*) echo "Python {version}" ;;
  *"-m pip --version"*) exit {no_pip} ;;
  *"-m pip"*--target*) mkdir -p .phoebe/uv/bin && cp "$STAND/uv" .phoebe/uv/bin/uv ;;
  *"-m venv"*) mkdir -p .venv/bin && cp "$STAND/new-python" .venv/bin/python ;;
esac
"""
UV = """#!/bin/sh
echo "uv $* $UV_PYTHON_INSTALL_DIR" >> "$NOTES"
if [ -e "$STAND/offline" ]; then echo "error: no network" >&2; exit 2; fi
mkdir -p .venv/bin && cp "$STAND/new-python" .venv/bin/python
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A folder with the project's bootstrap in it, and all the programs that it can find."""

    folder: Path

    def has(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def has_python(self, name: str, version: str, *, pip: bool = True) -> None:
        fits = version in {"3.12", "3.13"}
        self.has(name, PYTHON.format(name=name, unfit=int(not fits), version=version, no_pip=int(not pip)))

    def bootstrap(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "scripts/bootstrap", "requirements/dev.txt"],
            cwd=self.folder,
            env={
                "PATH": str(self.folder / "bin"),
                "NOTES": str(self.folder / "notes"),
                "STAND": str(self.folder / "stand"),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def notes(self) -> str:
        notes = self.folder / "notes"
        return notes.read_text() if notes.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    # Without the two places outside of PATH where it looks too: what this machine has there must not count.
    script = (PROJECT / "scripts" / "bootstrap").read_text()
    machine.has("scripts/bootstrap", ABSOLUTE.sub("", script))
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "/bin/false")
    machine.has("stand/uv", UV)
    machine.has_python("stand/new-python", "3.13")
    return machine


def test_a_python_of_the_machine_that_fits_is_used_and_nothing_fetched(machine: Machine) -> None:
    machine.has_python("bin/python3", "3.9")
    machine.has_python("bin/python3.12", "3.12")

    done = machine.bootstrap()

    assert done.returncode == 0, done.stderr
    assert "bin/python3.12 -m venv --clear .venv" in machine.notes
    assert "uv" not in machine.notes


def test_where_only_an_older_python_is_its_pip_fetches_uv_and_uv_a_python_into_the_folder(
    machine: Machine,
) -> None:
    machine.has_python("bin/python3", "3.11")

    done = machine.bootstrap()

    assert done.returncode == 0, done.stderr
    [fetched] = [line for line in machine.notes.splitlines() if "--target" in line]
    assert "--target .phoebe/uv" in fetched
    assert "--require-hashes -r requirements/uv.txt" in fetched
    assert "--managed-python .venv .phoebe/python" in machine.notes
    installed = machine.notes.splitlines()[-1]
    assert installed.startswith("stand/new-python -m pip")
    assert "--editable ." in installed
    assert "this machine's python3 is Python 3.11" in done.stderr


@pytest.mark.parametrize(("pip", "offline"), [(False, False), (True, True)])
def test_where_no_python_can_be_had_it_ends_with_what_there_is_and_what_to_do(
    pip: bool, offline: bool, machine: Machine
) -> None:
    machine.has_python("bin/python3", "3.11", pip=pip)
    if offline:
        machine.has("stand/offline", "")

    done = machine.bootstrap()

    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-2].startswith(
        "error: Phoebe needs Python 3.12 or newer, this machine's python3 is Python 3.11"
    )
    assert lines[-1].endswith("make PYTHON=/path/to/python ...")
    assert not (machine.folder / ".venv").exists()


def test_a_python_that_was_named_and_does_not_fit_is_refused_at_once(machine: Machine) -> None:
    machine.has_python("old", "3.9")

    done = machine.bootstrap(PYTHON="./old")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-2] == (
        "error: PYTHON=./old is not Python 3.12 or newer with the venv module."
    )
    assert "-m pip" not in machine.notes


def test_what_was_installed_under_the_former_name_is_removed_first(machine: Machine) -> None:
    machine.has_python("bin/python3.13", "3.13")
    machine.has_python(".venv/bin/python", "3.13")
    (machine.folder / ".venv/lib/python3.13/site-packages/phoebe-0.1.0.dist-info").mkdir(parents=True)

    done = machine.bootstrap()

    assert done.returncode == 0, done.stderr
    *_, removed, installed = machine.notes.splitlines()
    assert "uninstall --quiet --yes phoebe" in removed
    assert "--editable ." in installed
