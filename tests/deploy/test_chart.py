"""The chart as Helm renders it: valid for the releases of Kubernetes, and clear about what it lacks."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from rater_service.cli.program import app
from rater_service.cli.variables import ADDON_VARIABLES, own_variables
from rig.programs import PROJECT
from tests.deploy.conftest import TOOLS

pytestmark = pytest.mark.deploy

CHART = PROJECT / "deploy" / "helm" / "phoebe"
MANIFESTS = PROJECT / "deploy" / "manifests"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
# Kinds that Kubernetes' own schemas do not know.
OPERATOR = {"ServiceMonitor", "PrometheusRule"}
# What the chart sets by itself, or has values of their own for.
SET_BY_ADDON = {
    *("SPOOL", "METRICS", "DRAIN_TIMEOUT", "SPOOL_TRUST_GROUP", "RATER", "RATER_TLS", "RATER_CA"),
    *("RATER_TOKEN_FILE", "EDGE_SECRET_FILE"),
}


def rendered(values: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [TOOLS / "python", PROJECT / "scripts" / "render-chart", values]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def objects(values: Path) -> list[dict[str, Any]]:
    done = rendered(values)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def changed(tmp_path: Path, name: str, **changes: Any) -> Path:
    """Write the values of a topology with other ones at the top level."""
    values = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}))
    return path


def test_helm_lints_it_without_a_warning() -> None:
    command: list[str | Path] = [TOOLS / "python", PROJECT / "scripts" / "render-chart", "--lint"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(MANIFESTS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_manifests_are_what_the_chart_makes(file: Path) -> None:
    done = rendered(CHART / "ci" / f"{file.stem}-values.yaml")
    assert file.read_text().partition("---\n")[2] == done.stdout.partition("---\n")[2], "make manifests"


def test_the_chart_brings_the_rules_and_dashboards_of_the_tree() -> None:
    deploy = PROJECT / "deploy"
    there = {path.name: path.read_text() for path in (CHART / "files").rglob("*") if path.is_file()}
    wanted = [*(deploy / "prometheus").glob("rules.yaml"), *(deploy / "grafana").rglob("*.json")]
    assert there == {path.name: path.read_text() for path in wanted}, "make manifests"


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
@pytest.mark.parametrize("release", ["1.30", "1.33", "1.37"])
def test_it_is_valid_for_kubernetes(values: Path, release: str, tmp_path: Path) -> None:
    known = [each for each in objects(values) if each["kind"] not in OPERATOR]
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(known))
    command: list[str | Path] = [TOOLS / "kubernetes-validate", "--strict", "-k", release, file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARN" not in done.stdout + done.stderr


def test_a_fault_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n")
    command: list[str | Path] = [TOOLS / "kubernetes-validate", "--strict", "-k", "1.33", file]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adon": {}}, "adon"),
        ({"addon": {"options": {"upstraem": "http://x"}}}, "upstraem"),
        ({"addon": {"options": {"trusted_edges": "10.0.0.0/8"}}}, "addon.upstreams (a map) or"),
        ({"addon": {"mode": "sidecar"}}, "addon.engine.containers"),
        ({"database": {"existingSecret": ""}}, "database.existingSecret names the Secret"),
        ({"tls": {"existingSecret": ""}}, "rater.options.allow_plaintext"),
        ({"tokens": {"existingSecret": ""}}, "rater.options.allow_anonymous"),
        ({"networkPolicy": {"enabled": True}}, "networkPolicy.edge"),
        (
            {"addon": {"mode": "daemonset", "upstreams": {"default": "x"}, "autoscaling": {"enabled": True}}},
            "addon.autoscaling can't be enabled",
        ),
        (
            {"addon": {"upstreams": {"default": "x"}, "spool": {"accessModes": ["ReadWriteMany"]}}},
            "accessModes",
        ),
    ],
)
def test_what_is_missing_or_misspelt_is_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    done = rendered(changed(tmp_path, "gateway", **changes))
    assert done.returncode == 1
    assert said in done.stderr


def test_a_proxy_on_each_node_keeps_its_spool_and_its_name_there() -> None:
    made = objects(CHART / "ci" / "daemonset-values.yaml")
    assert not [each for each in made if each["kind"] == "StatefulSet"]
    [proxies] = [each for each in made if each["kind"] == "DaemonSet"]
    spec = proxies["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["spool"]["hostPath"] == {"path": "/var/lib/phoebe/spool", "type": "Directory"}
    names = {each["name"]: each for each in spec["containers"][0]["env"]}
    assert names["PHOEBE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    [service] = [
        each for each in made if each["metadata"]["name"] == "phoebe-addon" and each["kind"] == "Service"
    ]
    assert service["spec"]["internalTrafficPolicy"] == "Local"
    budgets = [each["metadata"]["name"] for each in made if each["kind"] == "PodDisruptionBudget"]
    assert budgets == ["phoebe-rater"]


def test_the_console_is_served_by_a_service_of_its_own_and_opened_by_those_who_may() -> None:
    made = objects(CHART / "ci" / "gateway-values.yaml")
    [service] = [each for each in made if each["metadata"]["name"] == "phoebe-console"]
    [rater] = [each for each in made if each["kind"] == "Deployment"]
    assert service["spec"]["selector"].items() <= rater["spec"]["template"]["metadata"]["labels"].items()
    container = rater["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {"name": "PHOEBE_CONSOLE", "value": f"0.0.0.0:{ports['console']}"} in container["env"]
    [policy] = [
        each
        for each in made
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "phoebe-rater"
    ]
    assert {"port": ports["console"]} in [rule["ports"][0] for rule in policy["spec"]["ingress"]]
    trial = objects(CHART / "ci" / "trial-values.yaml")
    assert not [each for each in trial if each["metadata"]["name"] == "phoebe-console"]


def test_with_autoscaling_no_number_of_pods_is_rendered() -> None:
    scaled = objects(CHART / "ci" / "scaled-values.yaml")
    autoscaled = {each["spec"]["scaleTargetRef"]["name"] for each in scaled if "Autoscaler" in each["kind"]}
    assert autoscaled == {"phoebe-addon", "phoebe-rater"}
    for each in scaled:
        if each["metadata"]["name"] in autoscaled and each["kind"] in {"StatefulSet", "Deployment"}:
            assert "replicas" not in each["spec"]


def test_a_digest_and_a_mirror_go_before_tag_and_registry() -> None:
    images = {
        container["name"]: container["image"]
        for each in objects(CHART / "ci" / "scaled-values.yaml")
        if each["kind"] in {"StatefulSet", "Deployment"}
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images["addon"] == "mirror.example/phoebe/phoebe-addon:0.1.0"
    assert images["rater"] == "mirror.example/phoebe/phoebe-rater@sha256:" + "0" * 64


def test_prometheus_finds_both_by_the_names_that_rules_use() -> None:
    scaled = objects(CHART / "ci" / "scaled-values.yaml")
    [monitor] = [each for each in scaled if each["kind"] == "ServiceMonitor"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    found = [
        each
        for each in scaled
        if each["kind"] == "Service" and wanted.items() <= each["metadata"]["labels"].items()
    ]
    assert {each["metadata"]["labels"]["app.kubernetes.io/component"] for each in found} == {"addon", "rater"}
    for each in found:
        assert "metrics" in [port["name"] for port in each["spec"]["ports"]]
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["relabelings"][0]["replacement"] == "phoebe-$1"


def test_a_large_number_is_passed_on_in_digits(tmp_path: Path) -> None:
    addon = {
        "upstreams": {"default": "http://engine:8000"},
        "options": {"spool_limit": 2147483648, "abort_limit": 0.5},
        "drain": {"timeoutSeconds": 1000000},
    }
    values = changed(tmp_path, "gateway", addon=addon)
    [gateway] = [each for each in objects(values) if each["kind"] == "StatefulSet"]
    [container] = gateway["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert given["PHOEBE_SPOOL_LIMIT"] == "2147483648"
    assert given["PHOEBE_ABORT_LIMIT"] == "0.5"
    assert given["PHOEBE_DRAIN_TIMEOUT"] == "1000000"


def test_alerts_name_the_place_where_runbooks_are_read() -> None:
    scaled = objects(CHART / "ci" / "scaled-values.yaml")
    [made] = [each for each in scaled if each["kind"] == "PrometheusRule"]
    alerts = [rule for group in made["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    rules = yaml.safe_load((PROJECT / "deploy" / "prometheus" / "rules.yaml").read_text())
    assert len(alerts) == sum("alert" in rule for group in rules["groups"] for rule in group["rules"])
    for alert in alerts:
        wanted = f"https://wiki.example/phoebe/runbooks#{alert['alert'].lower()}"
        assert alert["annotations"]["runbook_url"] == wanted


def test_grafanas_sidecar_finds_the_dashboards() -> None:
    scaled = objects(CHART / "ci" / "scaled-values.yaml")
    found = [each for each in scaled if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]
    files = {name: json.loads(text) for each in found for name, text in each["data"].items()}
    kept = {path.name: json.loads(path.read_text()) for path in (PROJECT / "deploy/grafana").glob("*.json")}
    assert files == kept
    assert {each["metadata"]["namespace"] for each in found} == {"monitoring"}
    gateway = objects(CHART / "ci" / "gateway-values.yaml")
    assert not [each for each in gateway if "grafana_dashboard" in each["metadata"].get("labels", {})]


def test_every_option_of_both_programs_can_be_given() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    names = schema["addon"]["properties"]["options"]["properties"]
    all_of_them = {name.removeprefix("PHOEBE_") for name in ADDON_VARIABLES}
    assert {name.upper() for name in names} == all_of_them - SET_BY_ADDON
    assert own_variables(typer.main.get_command(app))


@pytest.mark.parametrize("name", ["phoebe-proxy.service", "phoebe-rater.service"])
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    text = (PROJECT / "deploy" / "systemd" / name).read_text()
    unit = tmp_path / name
    unit.write_text(text.replace("/opt/phoebe/bin", str(PROJECT / ".venv" / "bin")))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    # Unknown keys are said there only.
    assert unit.name not in done.stderr
