"""The official validator of FOCUS: `make test-focus` installs it and runs the tests.

It has an environment of its own: it needs a numpy that the newest pyarrow does not work with.
"""

import subprocess
from pathlib import Path

import pytest

from rig.programs import PROJECT

PYTHON = PROJECT / ".venv-focus" / "bin" / "python"


@pytest.fixture(scope="session")
def validator_folder() -> Path:
    """The folder that the validator has to be run in: it looks for its own files below it."""
    assert PYTHON.exists(), "the validator is not installed: make test-focus"
    command: list[str | Path] = [PYTHON, "-c", "import focus_validator; print(focus_validator.__path__[0])"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return Path(found.stdout.strip()).parent
