"""`make release`, in a clone: it commits, tags and builds, pushes nothing, and the same bytes each time."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rig.programs import PROJECT

pytestmark = pytest.mark.upgrade

LOG = "# Changelog\n\n## Unreleased\n\n- One thing.\n\n## 0.1.0 (2026-01-02)\n\n- All.\n"
VERSION = "7.8.9"


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def make(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    identity = {
        f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    command = [sys.executable, "scripts/release.py", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env={**identity, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a change log that says something, and the environment of this folder."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--no-tags", str(PROJECT), str(folder))
    for name in (".venv", ".venv-sbom"):
        (folder / name).symlink_to(PROJECT / name)
    (folder / ".git" / "info" / "exclude").write_text(".venv\n.venv-sbom\n")
    (folder / "CHANGELOG.md").write_text(LOG)
    git(folder, "commit", "--quiet", "--all", "--message", "Say what is new")
    return folder


def test_a_release_is_committed_tagged_and_built_and_its_bytes_are_the_same_again(clone: Path) -> None:
    done = make(clone, VERSION, "--gate", "true")

    assert done.returncode == 0, done.stderr
    assert git(clone, "log", "-1", "--format=%s").strip() == f"Release {VERSION}"
    assert git(clone, "describe", "--exact-match").strip() == f"v{VERSION}"
    assert git(clone, "status", "--porcelain") == ""
    assert f'version = "{VERSION}"' in (clone / "pyproject.toml").read_text()
    assert f"## {VERSION} (20" in (clone / "CHANGELOG.md").read_text()
    assert git(clone, "for-each-ref", "refs/remotes", "--contains", "HEAD") == "", "nothing is pushed"
    assert git(PROJECT, "tag", "--list", f"v{VERSION}") == ""

    dist = clone / "dist"
    sums = (dist / "SHA256SUMS").read_text()
    wheel = f"phoebe_metering-{VERSION}-py3-none-any.whl"
    assert {line.split()[1] for line in sums.splitlines()} == {
        *(wheel, f"phoebe-metering-{VERSION}.tar.gz", "sbom-addon.json", "sbom-rater.json")
    }
    for line in sums.splitlines():
        digest, name = line.split()
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest
    with zipfile.ZipFile(dist / wheel) as opened:
        assert "phoebe_client/client.py" in opened.namelist()

    shutil.rmtree(dist)
    again = make(clone, VERSION, "--build-only")
    assert again.returncode == 0, again.stderr
    assert (dist / "SHA256SUMS").read_text() == sums


def test_a_gate_that_fails_leaves_everything_as_it_was(clone: Path) -> None:
    before = git(clone, "rev-parse", "HEAD")

    done = make(clone, VERSION, "--gate", "false")

    assert done.returncode == 1
    assert "nothing is released" in done.stderr
    assert (git(clone, "status", "--porcelain"), git(clone, "tag", "--list")) == ("", "")
    assert git(clone, "rev-parse", "HEAD") == before
    assert (clone / "CHANGELOG.md").read_text() == LOG


def test_a_tree_with_changes_is_refused(clone: Path) -> None:
    (clone / "new.py").write_text("")

    done = make(clone, VERSION, "--gate", "true")

    assert done.returncode == 1
    assert "not committed" in done.stderr
