"""The wheel brings all that the project's packages have in the tree, and nothing of what is around them."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.harness.build_context import copy_context

PROJECT = Path(__file__).parents[3]
SETUPTOOLS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
# Where each package stands in the tree.
PACKAGES = {name.replace(".", "/"): folder for name, folder in SETUPTOOLS["package-dir"].items()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from what the images are built from."""
    source, target = tmp_path_factory.mktemp("source") / "tree", tmp_path_factory.mktemp("wheel")
    copy_context(PROJECT, "Dockerfile.rater", source)
    command = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(target),
        str(source),
    ]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    shutil.rmtree(source)
    assert done.returncode == 0, done.stderr
    [built] = target.iterdir()
    assert built.name.startswith("phoebe_metering-")
    return zipfile.ZipFile(built)


def test_it_has_every_file_of_its_packages(wheel: zipfile.ZipFile) -> None:
    there = {
        f"{package}/{path.relative_to(PROJECT / folder)}"
        for package, folder in PACKAGES.items()
        for path in (PROJECT / folder).rglob("*")
        if path.suffix in {".py", ".sql", ".pyi", ".typed"}
    }
    assert len(there) > 200
    assert there - set(wheel.namelist()) == set()


def test_it_has_no_other_package_and_none_called_phoebe(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {
        name.partition("/")[0] for name in PACKAGES
    }
