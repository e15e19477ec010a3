"""Continuous integration runs the lint, the gate of coverage and every test."""

import re
import tomllib
from pathlib import Path

from tests.conftest import LANES
from tests.pure_coverage import FOLDERS

ROOT = Path(__file__).parents[3]
COMMANDS = [
    line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")
]


def test_it_checks_first_and_then_runs_the_tests_that_the_check_leaves_out() -> None:
    check, test = [line for line in COMMANDS if line.startswith("make ")]

    assert check == "make check"
    assert test.startswith("make test ")
    assert set(re.findall(r"--ignore=([^ \"]+)", test)) == set(FOLDERS)
    assert not re.search(r"-[km] |--deselect", test)


def test_a_failure_ends_it() -> None:
    assert COMMANDS[0] == "set -euo pipefail"


def test_whatever_has_a_target_of_its_own_is_left_out_of_all_tests() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    asked_for_by_name = {line.partition(":")[0] for line in options["markers"] if ": make test-" in line}
    assert asked_for_by_name == LANES
