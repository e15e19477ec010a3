"""Makes a release: `make release VERSION=x.y.z`. It stays on this machine: nothing is pushed or uploaded.

1. refuses an unclean tree, a version that is not later, and a change log without something to say;
2. gives the change log's "Unreleased" the version and the date, and writes the version where it stands;
3. runs what continuous integration runs; if that fails, the tree is as it was before;
4. commits, tags, and builds into dist/ what is published: wheel, source, lists of what is in it, checksums.

What is built comes from the tagged commit alone, with its time as that of every file: whoever builds it again
gets the same bytes.
"""

import argparse
import gzip
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
GATE = ".ci/run"
SBOM = Path(".venv-sbom")
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_RENDERED = r'app\.kubernetes\.io/version: "{0}"|chart: phoebe-{0}|image: phoebe-\w+:{0}'
# Files in which the version stands, and how; tests hold that it is the same everywhere.
PLACES = {
    "pyproject.toml": r'(?m)^version = "{}"$',
    "Dockerfile.addon": r"(?m)^ARG VERSION={}$",
    "Dockerfile.rater": r"(?m)^ARG VERSION={}$",
    "deploy/helm/phoebe/Chart.yaml": r'(?m)^(?:version: {0}|appVersion: "{0}")$',
    "deploy/manifests/gateway.yaml": _RENDERED,
    "deploy/manifests/sidecar.yaml": _RENDERED,
    "deploy/manifests/trial.yaml": _RENDERED,
}


class ReleaseError(Exception):
    """Why nothing is released, and what to do."""


def main() -> int:
    """Run as the module says; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", help="x.y.z")
    parser.add_argument("--gate", default=GATE, help="the command that must succeed first (%(default)s)")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be changed, and change nothing"
    )
    parser.add_argument("--build-only", action="store_true", help="build dist/ of the tag, which is there")
    arguments = parser.parse_args()
    try:
        if arguments.build_only:
            build(arguments.version, PROJECT / "dist")
            return 0
        release(arguments.version, arguments.gate, dry_run=arguments.dry_run)
    except ReleaseError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def release(version: str, gate: str, *, dry_run: bool) -> None:
    """Make the release in the folder of the project. Raises ReleaseError."""
    before = current_version((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    refuse_version(version, before)
    if git("status", "--porcelain"):
        raise ReleaseError("the tree has changes that are not committed: git status")
    if git("tag", "--list", f"v{version}"):
        raise ReleaseError(f"there is a tag v{version} already")
    changed = {
        "CHANGELOG.md": released_log(read("CHANGELOG.md"), version, datetime.now(UTC).date().isoformat()),
        **{name: with_version(read(name), name, before, version) for name in PLACES},
    }
    if dry_run:
        say(f"would release {version} after {before}, and change {', '.join(changed)}")
        return
    for name, text in changed.items():
        (PROJECT / name).write_text(text, encoding="utf-8")
    if subprocess.run(shlex.split(gate), cwd=PROJECT, check=False).returncode:
        git("checkout", "--", *changed)
        raise ReleaseError(f"{gate} failed, so nothing is released; the tree is as it was")
    git("commit", "--quiet", "--message", f"Release {version}", "--", *changed)
    git("tag", "--annotate", f"v{version}", "--message", f"Phoebe {version}")
    build(version, PROJECT / "dist")
    say(f"released {version}: commit and tag v{version} are here, dist/ has what is published.")
    say(f"To publish it: git push origin HEAD v{version}. The images: git checkout v{version} && make images")


def current_version(pyproject: str) -> str:
    """Read the version of the project."""
    found = re.search(r'(?m)^version = "(.+)"$', pyproject)
    assert found is not None
    return found[1]


def refuse_version(version: str, before: str) -> None:
    """Raise ReleaseError unless a version is one, and not earlier than the one that the tree has."""
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"{version!r} is no version: VERSION=x.y.z")
    if tuple(map(int, version.split("."))) < tuple(map(int, before.split("."))):
        raise ReleaseError(f"{version} is earlier than {before}, which the tree has")


def released_log(log: str, version: str, date: str) -> str:
    """Give "Unreleased" of a change log a version and a date, and put an empty one before it.

    Raises ReleaseError if there is nothing in it, or an earlier section says that it is not yet released.
    """
    waiting = re.search(r"(?m)^## (.+) \(not yet released\)$", log)
    if waiting:
        raise ReleaseError(
            f"the change log has {waiting[1]} as not yet released: make one section of it and of Unreleased, "
            "for whoever installs Phoebe for the first time"
        )
    found = re.search(r"(?ms)^## Unreleased\n(.*?)(?=^## |\Z)", log)
    if not found or not re.search(r"(?m)^- ", found[1]):
        raise ReleaseError("the change log has nothing under Unreleased: say what a user would notice")
    if re.search(rf"(?m)^## {re.escape(version)}\b", log):
        raise ReleaseError(f"the change log has a section {version} already")
    return log.replace("## Unreleased\n", f"## Unreleased\n\n## {version} ({date})\n", 1)


def with_version(text: str, name: str, before: str, version: str) -> str:
    """Write another version wherever a file has it. Raises ReleaseError if it is nowhere in it."""
    pattern = PLACES[name].format(re.escape(before))
    changed, count = re.subn(pattern, lambda found: found[0].replace(before, version), text)
    if not count:
        raise ReleaseError(f"{name} does not have the version {before} where it should")
    return changed


def build(version: str, target: Path) -> None:
    """Build what is published of a tag into an empty folder."""
    if not git("tag", "--list", f"v{version}"):
        raise ReleaseError(f"there is no tag v{version}")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    os.umask(0o022)
    epoch = git("log", "-1", "--format=%ct", f"v{version}^{{commit}}")
    name = f"phoebe-metering-{version}"
    source = git_bytes("archive", "--format=tar", f"--prefix={name}/", f"v{version}^{{commit}}")
    # gzip would note its own time and the file's name.
    (target / f"{name}.tar.gz").write_bytes(gzip.compress(source, mtime=int(epoch)))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "-x", "-C", folder], input=source, check=True)
        tree = Path(folder) / name
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        run(
            [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(target), str(tree)],
            SOURCE_DATE_EPOCH=epoch,
        )
        list_contents(tree, target)
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" for file in sorted(target.iterdir())
    ]
    (target / "SHA256SUMS").write_text("\n".join([*sums, ""]), encoding="utf-8")


def list_contents(tree: Path, target: Path) -> None:
    """Write what each half is installed with, by its lock file, as CycloneDX."""
    program = PROJECT / SBOM / "bin" / "cyclonedx-py"
    for half in ("addon", "rater"):
        lock = str(tree / "requirements" / f"{half}.txt")
        project = ["--pyproject", str(tree / "pyproject.toml"), "--output-reproducible"]
        run([str(program), "requirements", lock, *project, "-o", str(target / f"sbom-{half}.json")])


def read(name: str) -> str:
    """Read a file of the project."""
    return (PROJECT / name).read_text(encoding="utf-8")


def run(command: list[str], **environment: str) -> None:
    """Run a command that has to succeed."""
    subprocess.run(command, cwd=PROJECT, check=True, env={**os.environ, **environment})


def git_bytes(*words: str) -> bytes:
    """Ask git, and give what it says."""
    return subprocess.run(["git", *words], cwd=PROJECT, check=True, stdout=subprocess.PIPE).stdout


def git(*words: str) -> str:
    """Ask git, and give what it says as text without the last line's end."""
    return git_bytes(*words).decode().rstrip("\n")


def say(text: str) -> None:
    """Tell whoever makes the release."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
