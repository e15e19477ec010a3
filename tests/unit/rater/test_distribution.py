"""What to install, in words that fetch nobody else's package."""

import json
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from rater_service.distribution import how_to_install, installed_version, requirement


@pytest.fixture
def info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which installers keep what they know of this installation."""
    folder = tmp_path / "phoebe_metering-1.2.3.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: phoebe-metering\nVersion: 1.2.3\n")
    installed = PathDistribution(folder)
    monkeypatch.setattr(Distribution, "from_name", lambda _name: installed)
    return folder


def test_from_an_index_more_is_of_the_same_version(info: Path) -> None:
    assert installed_version() == "1.2.3"
    assert requirement(["export", "embedded"]) == "phoebe-metering[export,embedded]==1.2.3"


@pytest.mark.parametrize(
    "origin", ["file:///srv/phoebe", "file:///srv/phoebe_metering-1.2.3-py3-none-any.whl"]
)
def test_from_a_folder_or_a_file_more_comes_from_there(origin: str, info: Path) -> None:
    (info / "direct_url.json").write_text(json.dumps({"url": origin, "dir_info": {}}))

    assert how_to_install(["export"]) == f"pip install 'phoebe-metering[export] @ {origin}'"


def test_from_a_repository_more_comes_from_the_same_commit(info: Path) -> None:
    place = {"url": "https://git.example/phoebe.git", "vcs_info": {"vcs": "git", "commit_id": "a1b2c3"}}
    (info / "direct_url.json").write_text(json.dumps(place))

    assert requirement(["export"]) == "phoebe-metering[export] @ git+https://git.example/phoebe.git@a1b2c3"
