"""Each image installs what its half needs and nothing of the other half, and has what the pages run in it.

There need not be a container engine: tests/harness/dockerfile.py carries the build stages out.
"""

from pathlib import Path

import pytest

from tests.harness.dockerfile import PROJECT, Build, build, final_stage

pytestmark = [pytest.mark.deploy, pytest.mark.network, pytest.mark.slow]


@pytest.fixture(scope="module")
def addon(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build("addon", tmp_path_factory.mktemp("addon"))


@pytest.fixture(scope="module")
def rater(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return build("rater", tmp_path_factory.mktemp("rater"))


def test_the_addon_image_has_the_proxy_and_no_database_driver(addon: Build) -> None:
    assert addon.run("mitmdump", "--version").stdout.startswith("Mitmproxy: 12.")
    assert not addon.imports("asyncpg")
    assert not addon.imports("sqlalchemy")


def test_mitmdump_loads_the_addon_in_its_image(addon: Build) -> None:
    stage = final_stage("addon")
    entry = stage.last("ENTRYPOINT").words()
    # The same file as the one that the image has in the tree's place.
    script = Path(addon.run("phoebe", "addon-path").stdout.strip())
    assert script.is_relative_to(addon.environment)
    assert script.read_text() == (PROJECT / "addon" / "phoebe.py").read_text()

    words = [str(script) if word == "/app/addon/phoebe.py" else word for word in entry]
    confdir = addon.folder / "confdir"
    words[words.index("confdir=/tmp/mitmproxy")] = f"confdir={confdir}"
    listed = addon.run(*words, "--options")
    assert "phoebe_upstream" in listed.stdout, listed.stderr


def test_where_only_the_addon_is_the_command_line_says_so_without_a_traceback(addon: Build) -> None:
    done = addon.run("phoebe", "rate")
    assert done.returncode == 1
    assert done.stderr.startswith("phoebe: rate needs ")
    assert "Traceback" not in done.stderr


def test_the_rater_image_has_the_command_line_and_no_proxy(rater: Build) -> None:
    done = rater.run("phoebe", "--help")
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout
    assert "Needs what is not installed" not in done.stdout
    assert rater.imports("rater_service.service.server, rater_service.migrations, asyncpg")
    assert not rater.imports("mitmproxy")
    assert not rater.imports("uuid_utils")


def test_the_rater_image_has_what_the_pages_run_in_it(rater: Build) -> None:
    assert rater.imports("phoebe_conformance.cli, pyarrow.parquet")
    asked = rater.run("phoebe", "conformance", "http://127.0.0.1:9", "--model", "m")
    assert "could be checked" in asked.stdout, asked.stderr


def test_the_rater_image_carries_its_migrations_and_statements(rater: Build) -> None:
    [package] = rater.environment.glob("lib/python3*/site-packages/rater_service")
    assert list(package.glob("migrations/versions/0001_*.py"))
    assert list(package.glob("migrations/versions/0001_*/*.sql"))
    assert list(package.glob("rating/sql/*.sql"))


@pytest.mark.parametrize("name", ["addon", "rater"])
def test_what_an_image_starts_is_in_it(name: str, request: pytest.FixtureRequest) -> None:
    built: Build = request.getfixturevalue(name)
    stage = final_stage(name)
    program = stage.last("ENTRYPOINT").words()[0]
    assert stage.environment()["PATH"].startswith("/opt/phoebe/bin:")
    assert (built.environment / "bin" / program).exists()
    assert not (built.environment / "bin" / "pip").exists()
