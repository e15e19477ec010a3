"""Every expression of the dashboards, evaluated by Prometheus."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.programs import PROJECT
from tests.harness.prometheus import Prometheus
from tests.watch.conftest import program

FILES = sorted((PROJECT / "deploy" / "grafana").glob("*.json"))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    started = Prometheus(tmp_path_factory.mktemp("prometheus"), program("prometheus"))
    yield started
    started.stop()


def as_chosen(expression: str) -> str:
    """Put what Grafana puts in the place of its variables."""
    return re.sub(r"\$\w+", ".*", expression.replace("$__rate_interval", "1m"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_prometheus_takes_every_expression(prometheus: Prometheus, file: Path) -> None:
    faults = []
    dashboard = json.loads(file.read_text("utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    expressions += [each["expr"] for each in dashboard["annotations"]["list"]]
    assert len(expressions) > 30
    for expression in expressions:
        try:
            prometheus.query(as_chosen(expression))
        except ValueError as error:
            faults.append(f"{expression}: {error}")
    assert not faults


def test_what_is_no_expression_is_told(prometheus: Prometheus) -> None:
    with pytest.raises(ValueError, match="parse error"):
        prometheus.query("sum by (a (b)")
