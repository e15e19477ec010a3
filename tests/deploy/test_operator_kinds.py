"""ServiceMonitor and PrometheusRule of the chart, judged by the types of the Prometheus operator.

Kubernetes' own schemas know neither of them. The operator's types are made from its custom resource
definitions. They pass over names that they do not know, so what they have read is compared with what the
chart wrote.
"""

import json
import subprocess
from typing import Any

import pytest

from tests.deploy.chart import OPERATOR, objects, values_of
from tests.deploy.conftest import TOOLS

pytestmark = pytest.mark.deploy

# Read in the tools' own environment, which has the types; the tests' has not.
JUDGE = """
import json, sys
from cloudcoil.models.prometheus_operator import v1
for each in json.load(sys.stdin):
    kind = getattr(v1, each["kind"])
    print(json.dumps(kind.model_validate(each).model_dump(mode="json", by_alias=True, exclude_unset=True)))
"""


def judged(documents: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOOLS / "python", "-c", JUDGE],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=False,
    )


def unknown(given: object, read: object, place: str = "") -> list[str]:
    """Say where something was given that was not read, or was read as something else."""
    if isinstance(given, dict) and isinstance(read, dict):
        return [at for key in given for at in unknown(given[key], read.get(key), f"{place}.{key}")]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        pairs = enumerate(zip(given, read, strict=True))
        return [at for number, pair in pairs for at in unknown(*pair, f"{place}[{number}]")]
    return [] if given == read else [place]


def test_the_operator_takes_all_of_what_the_chart_makes_for_it() -> None:
    made = [each for each in objects(values_of("scaled")) if each["kind"] in OPERATOR]
    assert {each["kind"] for each in made} == set(OPERATOR)
    done = judged(made)
    assert done.returncode == 0, done.stderr
    for given, line in zip(made, done.stdout.splitlines(), strict=True):
        assert unknown(given, json.loads(line), given["kind"]) == []


def test_a_misspelt_name_and_a_wrong_duration_would_be_found() -> None:
    [monitor] = [each for each in objects(values_of("scaled")) if each["kind"] == "ServiceMonitor"]
    endpoint = monitor["spec"]["endpoints"][0]
    endpoint["intervall"] = endpoint["interval"]
    done = judged([monitor])
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert unknown(monitor, read, "") == [".spec.endpoints[0].intervall"]

    endpoint["interval"] = "30 seconds"
    assert "interval" in judged([monitor]).stderr
