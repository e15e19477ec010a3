"""Each image installs what its half needs and nothing of the other half.

There need not be a container engine: the build stage of each Dockerfile is carried out line by line in a
folder of its own, with what .dockerignore leaves of the project as the context, and with the environment in
the place of /opt/phoebe.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.build_context import copy_context

pytestmark = [pytest.mark.network, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Image:
    """What the build stage left behind."""

    environment: Path

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        return subprocess.run(
            [self.environment / "bin" / program, *arguments],
            # Not in the checkout, whose packages must not be found.
            cwd=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def imports(self, module: str) -> bool:
        return self.run("python", "-c", f"import {module}").returncode == 0


def build(name: str, folder: Path) -> Image:
    """Carries out the build stage of Dockerfile.`name`."""
    context, source, environment = folder / "context", folder / "src", folder / "phoebe"
    copy_context(PROJECT, f"Dockerfile.{name}", context)
    source.mkdir()
    text = (PROJECT / f"Dockerfile.{name}").read_text()
    stage = text[text.index("FROM ") : text.index("\nFROM ", text.index("FROM ") + 1)]
    for line in stage.splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "COPY":
            copy([context / origin for origin in rest.split()[:-1]], source / rest.split()[-1])
        elif instruction == "RUN":
            execute(rest.replace("/opt/phoebe", str(environment)), source)
        else:
            assert instruction in {"FROM", "WORKDIR"}, f"this test can't carry out {line!r}"
    return Image(environment)


def copy(origins: list[Path], target: Path) -> None:
    for origin in origins:
        if origin.is_dir():
            shutil.copytree(origin, target)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, target)


def execute(command: str, source: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=source,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def addon(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build("addon", tmp_path_factory.mktemp("addon"))


@pytest.fixture(scope="module")
def rater(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build("rater", tmp_path_factory.mktemp("rater"))


def test_the_addon_image_has_the_proxy_and_no_database_driver(addon: Image) -> None:
    assert addon.run("mitmdump", "--version").stdout.startswith("Mitmproxy: 12.")
    assert not addon.imports("asyncpg")
    assert not addon.imports("sqlalchemy")


def test_mitmdump_loads_the_addon_in_its_image(addon: Image) -> None:
    listed = addon.run("mitmdump", "-s", PROJECT / "addon" / "phoebe.py", "--options")
    assert "phoebe_upstream" in listed.stdout, listed.stderr


def test_the_rater_image_has_the_command_line_and_no_proxy(rater: Image) -> None:
    done = rater.run("phoebe", "--help")
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout
    assert rater.imports("rater_service.service.server, rater_service.migrations, asyncpg")
    assert not rater.imports("mitmproxy")
    assert not rater.imports("uuid_utils")


def test_the_rater_image_carries_its_migrations_and_statements(rater: Image) -> None:
    [package] = rater.environment.glob("lib/python3*/site-packages/rater_service")
    assert list(package.glob("migrations/versions/0001_*.py"))
    assert list(package.glob("migrations/versions/0001_*/*.sql"))
    assert list(package.glob("rating/sql/*.sql"))


@pytest.mark.parametrize("name", ["addon", "rater"])
def test_no_image_runs_as_root(name: str) -> None:
    lines = (PROJECT / f"Dockerfile.{name}").read_text().splitlines()
    users = [line for line in lines if line.startswith("USER ")]
    assert users[-1] == "USER phoebe"
    assert lines.index(users[-1]) < next(
        number for number, line in enumerate(lines) if line.startswith("ENTRYPOINT")
    )
