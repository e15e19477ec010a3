import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def check_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the import directions of the packages below a folder, by the rules of its pyproject.toml."""
    paths = [root / "addon", root / "conformance", root / "proto", root]
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in (
        "addon/phoebe_addon",
        "conformance/phoebe_conformance",
        "proto/phoebe_proto",
        "rater_service",
    ):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_import_directions_are_kept() -> None:
    checked = check_imports(ROOT)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("addon/phoebe_addon/apis/usage.py", "import rater_service.money", "meet only in the wire contract"),
        ("rater_service/money.py", "import phoebe_addon.apis.usage", "meet only in the wire contract"),
        ("addon/phoebe_addon/spool/spool.py", "import asyncpg", "has no database driver"),
        ("rater_service/cli/program.py", "import phoebe_conformance.cli", "nothing imports it"),
        ("addon/phoebe_addon/proxy/flows.py", "import phoebe_conformance.report", "nothing imports it"),
        (
            "conformance/phoebe_conformance/metering.py",
            "import phoebe_addon.proxy.flows",
            "neither the proxy nor",
        ),
        (
            "conformance/phoebe_conformance/cli.py",
            "import rater_service.database.database",
            "neither the proxy nor",
        ),
        ("rater_service/service/server.py", "import mitmproxy.http", "has no proxy"),
        ("addon/phoebe_addon/formats/sse.py", "import time", "middle is pure"),
        ("addon/phoebe_addon/gate/upstreams.py", "import pathlib", "middle is pure"),
        ("addon/phoebe_addon/answer/reader.py", "import logging", "middle is pure"),
        (
            "addon/phoebe_addon/answer/usage_ledger.py",
            "from phoebe_addon.spool import folder",
            "middle is pure",
        ),
        (
            "addon/phoebe_addon/gate/routes.py",
            "from phoebe_addon.settings import files",
            "middle is pure",
        ),
        ("addon/phoebe_addon/apis/families/ollama.py", "import socket", "middle is pure"),
        ("rater_service/prices/resolution.py", "import logging", "middle is pure"),
        ("rater_service/money.py", "from rater_service.prices import store", "middle is pure"),
        ("addon/phoebe_addon/settings/routes_file.py", "import phoebe_addon.exchange", "floors of the addon"),
        ("addon/phoebe_addon/spool/folder.py", "import phoebe_addon.meter", "floors of the addon"),
        ("rater_service/events/store.py", "import rater_service.prices.store", "floors of the rater"),
    ],
)
def test_an_import_against_them_is_found(copy: Path, module: str, line: str, broken: str) -> None:
    with (copy / module).open("a") as file:
        file.write(f"{line}\n")

    checked = check_imports(copy)

    assert checked.returncode == 1
    (name,) = (text for text in checked.stdout.splitlines() if broken in text and text.endswith(" BROKEN"))
    assert name


def imported(module: Path) -> set[str]:
    """List the modules that a module imports, and each name from one as if it were a module too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_every_module_of_the_addon_that_can_be_kept_pure_is() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (rule,) = (each for each in rules if each["name"].startswith("The middle is pure"))
    addon = ROOT / "addon"
    modules = {
        ".".join(path.relative_to(addon).with_suffix("").parts): path
        for path in (addon / "phoebe_addon").rglob("*.py")
        if path.stem != "__init__"
    }
    shell = {name for name in modules if not is_in(name, rule["source_modules"])}
    # The last serves HTTP.
    impure = shell.union(rule["forbidden_modules"], {"prometheus_client"})

    could_be_pure = {
        name for name in shell if not any(is_in(used, impure - {name}) for used in imported(modules[name]))
    }
    assert could_be_pure == set()


def is_in(module: str, packages: Iterable[str]) -> bool:
    """Tell whether a module is one of these, or in one of them."""
    return any(f"{module}.".startswith(f"{package}.") for package in packages)
