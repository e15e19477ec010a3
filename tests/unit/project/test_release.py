"""What `make release` refuses, and what it writes; that it builds is tested by `make test-upgrade`."""

import importlib.util
import re
from types import ModuleType

import pytest

from rig.programs import PROJECT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_script", PROJECT / "scripts" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOG = "# Changelog\n\n## Unreleased\n\n### Added: more\n\n- One thing.\n\n## 0.1.0 (2026-01-02)\n\n- All.\n"


def test_what_was_unreleased_gets_the_version_and_the_date(script: ModuleType) -> None:
    released = script.released_log(LOG, "0.2.0", "2026-11-29")

    assert released.replace("## 0.2.0 (2026-11-29)\n\n", "", 1) == LOG
    assert released.index("## Unreleased") < released.index("## 0.2.0 (2026-11-29)") < released.index("- One")


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        (LOG.replace("- One thing.\n", ""), "nothing under Unreleased"),
        (LOG.replace("(2026-01-02)", "(not yet released)"), "has 0.1.0 as not yet released"),
        (LOG.replace("## 0.1.0", "## 0.2.0"), "has a section 0.2.0 already"),
    ],
    ids=["nothing to say", "two that wait", "there already"],
)
def test_a_change_log_that_says_nothing_of_the_version_is_refused(
    script: ModuleType, log: str, fault: str
) -> None:
    with pytest.raises(script.ReleaseError, match=fault):
        script.released_log(log, "0.2.0", "2026-11-29")


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3rc1", "01.2.3", "0.9.9"])
def test_what_is_no_later_version_is_refused(script: ModuleType, version: str) -> None:
    with pytest.raises(script.ReleaseError, match=r"is no version|is earlier than"):
        script.refuse_version(version, "1.0.0")


def test_the_version_is_written_wherever_it_stands(script: ModuleType) -> None:
    before = script.current_version((PROJECT / "pyproject.toml").read_text("utf-8"))
    for name in script.PLACES:
        text = (PROJECT / name).read_text("utf-8")
        changed = script.with_version(text, name, before, "77.8.9")
        assert script.with_version(changed, name, "77.8.9", before) == text
        assert not re.search(rf"(?m)^(?:version|ARG VERSION|appVersion).*{re.escape(before)}", changed), name
    with pytest.raises(script.ReleaseError, match="does not have the version"):
        script.with_version("", "pyproject.toml", before, "77.8.9")
