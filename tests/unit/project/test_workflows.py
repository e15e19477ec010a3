"""The workflows of GitHub run what CI runs elsewhere, on every supported version, and may only read."""

import re
from pathlib import Path

import pytest
import yaml

from rig.programs import PROJECT

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yaml"))
CI = yaml.safe_load((PROJECT / ".github/workflows/ci.yaml").read_text("utf-8"))


def test_every_supported_version_is_tested_by_what_ci_runs() -> None:
    job = CI["jobs"]["test"]
    runs = job["strategy"]["matrix"]["include"]
    assert {run["python"] for run in runs} == {"3.12", "3.13", "3.14"}
    assert {run["postgres"] for run in runs} == {"15", "16", "17", "18"}
    both, every_case = job["steps"][-2:]
    assert ".ci/run" in both["run"].split()
    assert "if" not in both
    # What .ci/run leaves out for the second PostgreSQL is run on each that is not the wheel's.
    assert "--postgres=system" in every_case["run"]
    assert every_case["if"] == "matrix.python == '3.13' && matrix.postgres != '18'"
    assert 'requires-python = ">=3.12"' in (PROJECT / "pyproject.toml").read_text("utf-8")


def test_what_else_it_makes_is_there_to_be_made() -> None:
    makefile = (PROJECT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    assert set(CI["jobs"]["more"]["strategy"]["matrix"]["target"]) <= targets


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_has_no_right_but_to_read(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text("utf-8"))
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == {"contents": "read"}, name
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            uses = step.get("uses", "actions/none@v1")
            # Others than GitHub's own would have to be pinned by commit.
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", uses), uses
            if "checkout" in uses:
                assert step["with"]["persist-credentials"] is False


def test_the_hooks_call_the_projects_own_tools() -> None:
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text("utf-8"))
    (repository,) = hooks["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].split()[0] in {"make"} or hook["entry"].startswith(".venv/bin/")
