"""Runs unit and property tests, and asks how much of the pure modules they run.

Pure are the modules that the import contract "The middle is pure" in pyproject.toml names. Tests whose cases
Hypothesis draws do not count: they differ from run to run, and what is covered must not.
Nor does what test modules call while they are imported.

This module is also the plugin of pytest that measures, in each of its processes.
"""

import json
import shutil
import sys
import tomllib
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

import pytest
from coverage import Coverage

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".coverage"
FOLDERS = ("tests/unit", "tests/property")
OF_THE_TREE = ROOT / "tests" / "unit" / "project"
"""Tests of files and documents: they run next to nothing of the pure modules, and are slow if traced."""
FLOOR_PERCENT = 95
"""Of the lines and branches of each file."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How much of a file the tests run. missing: the lines that they don't."""

    file: str
    percent: float
    missing: tuple[int, ...]


def pure_modules() -> list[str]:
    """Return the modules and packages that the contract names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (modules,) = (
        each["source_modules"] for each in contracts if each["name"].startswith("The middle is pure")
    )
    return [str(module) for module in modules]


def files_of(modules: Iterable[str]) -> set[str]:
    """Return the files of modules and packages, relative to the project."""
    found: set[Path] = set()
    for module in modules:
        spec = find_spec(module)
        assert spec is not None, f"pyproject.toml names {module}, which does not exist"
        assert spec.origin is not None
        file = Path(spec.origin)
        found |= set(file.parent.rglob("*.py")) if spec.submodule_search_locations else {file}
    return {str(file.relative_to(ROOT)) for file in found}


def import_all(modules: Iterable[str]) -> None:
    """Import modules, and of packages all that is in them."""
    for name in modules:
        found = import_module(name)
        for each in walk_packages(getattr(found, "__path__", ()), f"{name}."):
            import_module(each.name)


def read_report(text: str) -> list[Measured]:
    """Read a report of coverage.py in JSON."""
    return [
        Measured(file, measured["summary"]["percent_covered"], tuple(measured["missing_lines"]))
        for file, measured in json.loads(text)["files"].items()
    ]


def faults(files: set[str], measured: Sequence[Measured]) -> list[str]:
    """Name the files that the tests run too little of."""
    unknown = files - {each.file for each in measured}
    return [
        *(f"{file}: no test imports it" for file in sorted(unknown)),
        *(
            f"{each.file}: {each.percent:.1f} % of lines and branches, not {FLOOR_PERCENT}; "
            f"lines {', '.join(map(str, each.missing))}"
            for each in sorted(measured, key=lambda each: each.percent)
            if each.percent < FLOOR_PERCENT
        ),
    ]


def open_coverage() -> Coverage:
    """Open the measurement of this process; those of all processes are combined in the end."""
    opened = Coverage(
        data_file=str(FOLDER / "data"),
        data_suffix=True,
        branch=True,
        source=pure_modules(),
        config_file=False,
    )
    # One process of several may run few tests, or none. What no process imports is found in the end.
    opened.set_option("run:disable_warnings", ["module-not-imported", "no-data-collected"])
    return opened


class Measurement:
    """The plugin of pytest: measures while modules are imported, and while tests run that count.

    A tracer makes everything slower that runs meanwhile, more than twice: so what pytest does in between and
    what reads the tests themselves is not measured.
    """

    def __init__(self) -> None:
        self._coverage = open_coverage()
        with self._coverage.collect():
            import_all(pure_modules())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        """Measure what a test's fixtures do first."""
        with self._measured(item):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Measure what a test does."""
        with self._measured(item):
            return (yield)

    def _measured(self, item: pytest.Item) -> AbstractContextManager[None]:
        return self._coverage.collect() if counts(item) else nullcontext()

    def pytest_unconfigure(self) -> None:
        """Write down what was measured."""
        self._coverage.save()


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin to measure."""
    early_config.pluginmanager.register(Measurement())


def counts(item: pytest.Item) -> bool:
    """Whether what a test runs is covered."""
    # The first marker is set by Hypothesis.
    untraced = any(map(item.get_closest_marker, ("hypothesis", "untraced")))
    return not untraced and not item.path.is_relative_to(OF_THE_TREE)


def main(arguments: Sequence[str]) -> int:
    """Run the tests with further arguments for pytest. Returns the exit status: of pytest, or 1."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    status = pytest.main(["-p", "tests.pure_coverage", *FOLDERS, *arguments])
    if status:
        return int(status)
    combined = open_coverage()
    combined.combine([str(FOLDER)])
    report = FOLDER / "report.json"
    combined.json_report(outfile=str(report))
    found = faults(files_of(pure_modules()), read_report(report.read_text("utf-8")))
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
