"""The chart as Helm renders it, without a cluster."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rig.programs import PROJECT
from tests.deploy.conftest import TOOLS

CHART = PROJECT / "deploy" / "helm" / "phoebe"
# Kinds that Kubernetes' own schemas do not know.
OPERATOR = ("ServiceMonitor", "PrometheusRule")


def values_of(topology: str) -> Path:
    """Give the file with the values of a topology."""
    return CHART / "ci" / f"{topology}-values.yaml"


def rendered(values: Path) -> subprocess.CompletedProcess[str]:
    """Render the chart with the values of a file."""
    command: list[str | Path] = [TOOLS / "python", PROJECT / "scripts" / "render-chart", values]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@cache
def _text_of(values: Path) -> str:
    done = rendered(values)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(values: Path) -> list[dict[str, Any]]:
    """Give the objects that the values of a file make. The file is read once."""
    return [document for document in yaml.safe_load_all(_text_of(values)) if document]


def changed(tmp_path: Path, name: str, **changes: Any) -> Path:
    """Write the values of a topology with other ones at the top level."""
    values = yaml.safe_load(values_of(name).read_text())
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}))
    return path
