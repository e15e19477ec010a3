"""The Dockerfiles, judged by hadolint, and the list of what is in an image."""

import json
import subprocess
from pathlib import Path

import pytest

from rig.programs import PROJECT
from tests.deploy.conftest import TOOLS
from tests.harness.dockerfile import build

pytestmark = pytest.mark.deploy

NAMES = ("addon", "rater")


@pytest.mark.parametrize("name", NAMES)
def test_hadolint_finds_nothing(name: str) -> None:
    # DL3059 would join lines of a stage that is thrown away, and so lose their cache.
    command: list[str | Path] = [TOOLS / "hadolint", "--no-color", "--ignore", "DL3059"]
    done = subprocess.run(
        [*command, PROJECT / f"Dockerfile.{name}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "there"), [("addon", "mitmproxy"), ("rater", "asyncpg")])
def test_the_list_of_what_is_in_an_image_names_all_that_was_installed(
    name: str, there: str, tmp_path: Path
) -> None:
    built = build(name, tmp_path, up_to="make-sbom")
    listed = json.loads((built.place("/src") / f"sbom-{name}.json").read_text())

    assert listed["bomFormat"] == "CycloneDX"
    assert listed["metadata"]["component"]["name"] == "phoebe-metering"
    names = {component["name"] for component in listed["components"]}
    assert {there, "grpcio", "protobuf"} <= names
    installed = built.environment.glob("lib/python3*/site-packages/*.dist-info")
    assert len(names) >= len(list(installed)) - 1
