import ast
import os
import re
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
    paths = [root / "addon", root / "conformance", root / "proto", root / "runtime", root]
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_import_directions_are_kept() -> None:
    checked = check_imports(ROOT)

    assert checked.returncode == 0, checked.stdout


AGAINST_THEM = [
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
    ("rater_service/service/health.py", "import demo.bill", "floors around Phoebe"),
    ("demo/bill.py", "import bench.errors", "floors around Phoebe"),
    ("chaos/books.py", "import bench.errors", "floors around Phoebe"),
    ("rig/processes.py", "import rater_service.errors", "floors around Phoebe"),
    ("runtime/phoebe_runtime/spans.py", "import rater_service.errors", "floors around Phoebe"),
    ("runtime/phoebe_runtime/durations.py", "import phoebe_runtime.probes", "floors of the runtime"),
    ("addon/phoebe_addon/meter.py", "import rig.errors", "no part of it"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is found in a copy that has all these imports, by the contract that they break."""
    copy = tmp_path_factory.mktemp("copy")
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    for name in rules["root_packages"]:
        (package,) = (
            path for path in (ROOT / name, *ROOT.glob(f"*/{name}")) if (path / "__init__.py").exists()
        )
        place = copy / package.relative_to(ROOT)
        shutil.copytree(package, place, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for module, line, _ in AGAINST_THEM:
        with (copy / module).open("a") as file:
            file.write(f"{line}\n")
    checked = check_imports(copy)
    assert checked.returncode == 1
    _, name, *rest = re.split(r"(?m)^(.+)\n-+\n", checked.stdout.partition("Broken contracts")[2])
    return dict(zip((name, *rest[1::2]), rest[::2], strict=True))


@pytest.mark.parametrize(("module", "line", "broken"), AGAINST_THEM)
def test_an_import_against_them_is_found(found: dict[str, str], module: str, line: str, broken: str) -> None:
    file = Path(module).with_suffix("").parts
    importer = ".".join(file[1:] if file[0] in {"addon", "conformance", "runtime"} else file)
    names = line.replace("from ", "").replace("import ", "").split()
    # Of a package from elsewhere, only its first name is told.
    told = {".".join(names), names[0].partition(".")[0]}

    (report,) = (text for name, text in found.items() if broken in name)
    assert any(f"{importer} -> {name} (l." in report for name in told)


def imported(module: Path) -> set[str]:
    """List the modules that a module imports, and each name from one as if it were a module too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_every_module_of_the_addon_and_the_runtime_that_can_be_kept_pure_is() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (rule,) = (each for each in rules if each["name"].startswith("The middle is pure"))
    modules = {
        ".".join(path.relative_to(folder.parent).with_suffix("").parts): path
        for folder in (ROOT / "addon" / "phoebe_addon", ROOT / "runtime" / "phoebe_runtime")
        for path in folder.rglob("*.py")
        if path.stem != "__init__"
    }
    shell = {name for name in modules if not is_in(name, rule["source_modules"])}
    # The last two serve HTTP, and read what is installed.
    impure = shell.union(rule["forbidden_modules"], {"prometheus_client", "importlib.metadata"})

    could_be_pure = {
        name for name in shell if not any(is_in(used, impure - {name}) for used in imported(modules[name]))
    }
    assert could_be_pure == set()


def is_in(module: str, packages: Iterable[str]) -> bool:
    """Tell whether a module is one of these, or in one of them."""
    return any(f"{module}.".startswith(f"{package}.") for package in packages)
