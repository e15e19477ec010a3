"""What the images are made of: their final stage, line by line, without building one."""

import re
from pathlib import Path

import pytest

from tests.harness.dockerfile import PROJECT, Stage, final_stage, read_dockerfile

NAMES = ("addon", "rater")
TITLES = ("title", "description", "licenses", "version", "revision", "created", "base.name")


def stages(name: str) -> list[Stage]:
    return read_dockerfile((PROJECT / f"Dockerfile.{name}").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_as_a_user_by_number_who_is_not_root(name: str) -> None:
    stage = final_stage(name)
    # A name would be refused where runAsNonRoot is asked for.
    assert stage.last("USER").rest == "10001:10001"
    words = [each.word for each in stage.instructions]
    assert words.index("USER") > max(place for place, word in enumerate(words) if word in {"RUN", "COPY"})


@pytest.mark.parametrize("name", [*NAMES, "demo"])
def test_all_its_stages_stand_on_one_base_whose_digest_is_pinned(name: str) -> None:
    base, *others = stages(name)
    assert base.name == "base"
    assert re.fullmatch(r"python:3\.13-slim-bookworm@sha256:[0-9a-f]{64}", base.base)
    assert base.base == stages("addon")[0].base
    assert {stage.base for stage in others} <= {"base", "build", "scratch"}


@pytest.mark.parametrize("name", NAMES)
def test_what_its_final_stage_copies_was_made_or_is_in_the_tree(name: str) -> None:
    stage = final_stage(name)
    for copy in (each.words() for each in stage.instructions if each.word == "COPY"):
        if copy[0].startswith("--from="):
            assert copy[0] == "--from=build"
            assert copy[1:] == ["/opt/phoebe", "/opt/phoebe"]
        else:
            assert (PROJECT / copy[0]).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_labelled_and_its_port_is_not_privileged(name: str) -> None:
    stage = final_stage(name)
    assert [title for title in TITLES if f"org.opencontainers.image.{title}" not in stage.labels()] == []
    assert all(int(port) > 1024 for port in stage.last("EXPOSE").words())
    assert stage.last("STOPSIGNAL").rest == "SIGTERM"


def test_its_version_is_the_projects() -> None:
    version = re.search(r'^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for name in NAMES:
        stage = final_stage(name)
        assert f"VERSION={version[1]}" in [each.rest for each in stage.instructions if each.word == "ARG"]


def test_nothing_of_the_addon_is_written_outside_of_its_volume_and_tmp() -> None:
    stage = final_stage("addon")
    entry = stage.last("ENTRYPOINT").words()
    assert "confdir=/tmp/mitmproxy" in entry
    assert stage.environment()["PHOEBE_SPOOL"] == stage.last("VOLUME").rest
    assert any("install --directory --owner 10001" in each.rest for each in stage.instructions)
    assert stage.environment()["PYTHONDONTWRITEBYTECODE"] == "1"


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_list_of_what_is_in_it(name: str) -> None:
    make, sbom = stages(name)[2:4]
    assert (make.name, make.base, sbom.name, sbom.base) == ("make-sbom", "build", "sbom", "scratch")
    assert sbom.instructions[0].words()[:2] == ["--from=make-sbom", f"/src/sbom-{name}.json"]
    assert f"sbom-{name}.json" in Path(PROJECT / ".gitignore").read_text().split()
