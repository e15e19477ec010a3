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
from rater_service.cli.variables import ADDON_VARIABLES
from rig.programs import PROJECT
from tests.deploy.chart import CHART, OPERATOR, changed, objects, rendered, values_of
from tests.deploy.conftest import TOOLS

pytestmark = pytest.mark.deploy

MANIFESTS = PROJECT / "deploy" / "manifests"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
# What the chart sets by itself, or has values of their own for.
SET_BY_ADDON = {
    *("SPOOL", "METRICS", "DRAIN_TIMEOUT", "SPOOL_TRUST_GROUP", "RATER", "RATER_TLS", "RATER_CA"),
    *("RATER_TOKEN_FILE", "EDGE_SECRET_FILE", "TRACING"),
}
SET_BY_RATER = {
    *("LISTEN", "PRICES", "TLS_CERT", "TLS_KEY", "TOKENS", "METRICS", "CONSOLE", "RATE_EVERY", "TRACING"),
    "DATA",  # the image has no embedded PostgreSQL
}


def test_helm_lints_it_without_a_warning() -> None:
    command: list[str | Path] = [TOOLS / "python", PROJECT / "scripts" / "render-chart", "--lint"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", sorted(MANIFESTS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_manifests_are_what_the_chart_makes(file: Path) -> None:
    done = rendered(values_of(file.stem))
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
        ({"tracing": {"enabled": True}}, "tracing.endpoint is the address of the collector"),
        (
            {"tracing": {"enabled": True, "endpoint": "http://collector:4317"}},
            "networkPolicy.tracingEgress",
        ),
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


def test_the_rater_reads_from_a_standby_whose_secret_is_named(tmp_path: Path) -> None:
    database = {"existingSecret": "phoebe-database", "readExistingSecret": "phoebe-standby"}
    made = objects(changed(tmp_path, "gateway", database=database))
    [rater] = [each for each in made if "READ_DATABASE_URL" in json.dumps(each)]
    assert rater["kind"] == "Deployment"
    names = {each["name"]: each for each in rater["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert names["READ_DATABASE_URL"]["valueFrom"]["secretKeyRef"]["name"] == "phoebe-standby"


def test_a_proxy_on_each_node_keeps_its_spool_and_its_name_there() -> None:
    made = objects(values_of("daemonset"))
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
    made = objects(values_of("gateway"))
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
    trial = objects(values_of("trial"))
    assert not [each for each in trial if each["metadata"]["name"] == "phoebe-console"]


def test_with_autoscaling_no_number_of_pods_is_rendered() -> None:
    scaled = objects(values_of("scaled"))
    autoscaled = {each["spec"]["scaleTargetRef"]["name"] for each in scaled if "Autoscaler" in each["kind"]}
    assert autoscaled == {"phoebe-addon", "phoebe-rater"}
    # A shipper of logs or a mesh beside it has a load of its own, and may ask for no CPU.
    assert {
        metric["containerResource"]["container"]
        for each in scaled
        if "Autoscaler" in each["kind"]
        for metric in each["spec"]["metrics"]
    } == {"addon", "rater"}
    for each in scaled:
        if each["metadata"]["name"] in autoscaled and each["kind"] in {"StatefulSet", "Deployment"}:
            assert "replicas" not in each["spec"]


def test_a_digest_and_a_mirror_go_before_tag_and_registry() -> None:
    images = {
        container["name"]: container["image"]
        for each in objects(values_of("scaled"))
        if each["kind"] in {"StatefulSet", "Deployment"}
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images["addon"] == "mirror.example/phoebe/phoebe-addon:0.1.0"
    assert images["rater"] == "mirror.example/phoebe/phoebe-rater@sha256:" + "0" * 64


def test_prometheus_finds_both_by_the_names_that_rules_use() -> None:
    scaled = objects(values_of("scaled"))
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


def pods(made: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the templates of pods by the component that they are."""
    specs = [each["spec"] for each in made if each["kind"] in {"StatefulSet", "Deployment", "Job", "CronJob"}]
    templates = [spec.get("jobTemplate", {"spec": spec})["spec"]["template"] for spec in specs]
    return {each["metadata"]["labels"]["app.kubernetes.io/component"]: each for each in templates}


def environment(pod: dict[str, Any]) -> dict[str, Any]:
    """Give the variables of the first container of a pod."""
    return {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}


def test_jobs_have_what_reaches_the_database_and_the_options_that_runs_have_too() -> None:
    of = pods(objects(values_of("scaled")))
    for component in ("rater", "rate", "migrate", "contract"):
        assert environment(of[component])["PGSSLROOTCERT"] == "/etc/database/ca.crt"
        volumes = {each["name"] for each in of[component]["spec"]["volumes"]}
        mounts = {each["name"] for each in of[component]["spec"]["containers"][0]["volumeMounts"]}
        assert mounts == volumes >= {"database-ca"}
    assert environment(of["rate"])["PHOEBE_LATE_DAYS"] == environment(of["rater"])["PHOEBE_LATE_DAYS"] == "40"


def jobs(values: Path) -> dict[str, dict[str, Any]]:
    """Give the Jobs by what they are, in the order in which they stand in the manifests."""
    made = [each for each in objects(values) if each["kind"] == "Job"]
    return {each["metadata"]["labels"]["app.kubernetes.io/component"]: each for each in made}


def command(job: dict[str, Any]) -> list[str]:
    """Give the words of the command that a Job runs."""
    words: list[str] = job["spec"]["template"]["spec"]["containers"][0]["args"]
    return words


@pytest.mark.parametrize(
    ("topology", "annotation", "before", "after"),
    [
        ("gateway", "helm.sh/hook", "pre-install,pre-upgrade", "post-install,post-upgrade"),
        ("trial", "argocd.argoproj.io/hook", "PreSync", "PostSync"),
    ],
)
def test_what_earlier_raters_need_is_taken_away_after_the_release(
    topology: str, annotation: str, before: str, after: str
) -> None:
    found = jobs(values_of(topology))
    assert {name: job["metadata"]["annotations"][annotation] for name, job in found.items()} == {
        "migrate": before,
        "contract": after,
    }
    assert command(found["migrate"]) == ["migrate", "--phase=needed"]
    assert command(found["contract"]) == ["migrate", "--wait-for-others=15m"]
    # Applied as they stand, without Helm, the Deployment comes between them.
    kinds = [each["kind"] for each in objects(values_of(topology))]
    assert kinds.index("Job") < kinds.index("Deployment") < len(kinds) - 1
    assert kinds[-1] == "Job"


@pytest.mark.parametrize(
    ("migrate", "words"),
    [({"contract": False}, ["migrate", "--phase=needed"]), ({"hook": "none"}, ["migrate"])],
)
def test_the_second_step_may_be_left_to_a_human(
    migrate: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    found = jobs(changed(tmp_path, "gateway", migrate=migrate))
    assert {name: command(job) for name, job in found.items()} == {"migrate": words}


@pytest.mark.parametrize("command_of", ["migrate", "contract"])
def test_the_program_takes_the_commands_of_the_jobs(command_of: str) -> None:
    _, *options = command(jobs(values_of("gateway"))[command_of])
    program: Any = typer.main.get_command(app)
    program.commands["migrate"].make_context("migrate", options)


def test_an_account_that_is_there_already_is_also_that_of_the_migration(tmp_path: Path) -> None:
    assert pods(objects(values_of("gateway")))["migrate"]["spec"]["serviceAccountName"] == "default"
    values = changed(tmp_path, "gateway", serviceAccount={"create": False, "name": "billing"})
    accounts = {
        component: pod["spec"]["serviceAccountName"] for component, pod in pods(objects(values)).items()
    }
    assert accounts == dict.fromkeys(("addon", "rater", "rate", "migrate", "contract"), "billing")


def test_both_send_their_spans_to_the_collector() -> None:
    of = pods(objects(values_of("scaled")))
    for component in ("addon", "rater"):
        given = environment(of[component])
        assert given["PHOEBE_TRACING"] == "on"
        assert given["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel-collector.monitoring.svc:4317"
        assert (given["OTEL_TRACES_SAMPLER"], given["OTEL_TRACES_SAMPLER_ARG"]) == ("traceidratio", "0.1")
    assert "PHOEBE_TRACING" not in environment(pods(objects(values_of("gateway")))["addon"])


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
    scaled = objects(values_of("scaled"))
    [made] = [each for each in scaled if each["kind"] == "PrometheusRule"]
    alerts = [rule for group in made["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    rules = yaml.safe_load((PROJECT / "deploy" / "prometheus" / "rules.yaml").read_text())
    assert len(alerts) == sum("alert" in rule for group in rules["groups"] for rule in group["rules"])
    for alert in alerts:
        wanted = f"https://wiki.example/phoebe/runbooks#{alert['alert'].lower()}"
        assert alert["annotations"]["runbook_url"] == wanted


def test_grafanas_sidecar_finds_the_dashboards() -> None:
    scaled = objects(values_of("scaled"))
    found = [each for each in scaled if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]
    files = {name: json.loads(text) for each in found for name, text in each["data"].items()}
    kept = {path.name: json.loads(path.read_text()) for path in (PROJECT / "deploy/grafana").glob("*.json")}
    assert files == kept
    assert {each["metadata"]["namespace"] for each in found} == {"monitoring"}
    gateway = objects(values_of("gateway"))
    assert not [each for each in gateway if "grafana_dashboard" in each["metadata"].get("labels", {})]


def test_every_option_of_both_programs_can_be_given() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    names = schema["addon"]["properties"]["options"]["properties"]
    all_of_them = {name.removeprefix("PHOEBE_") for name in ADDON_VARIABLES}
    assert {name.upper() for name in names} == all_of_them - SET_BY_ADDON
    program: Any = typer.main.get_command(app)
    variables = {str(each.envvar) for each in program.commands["serve"].params if each.envvar}
    names = schema["rater"]["properties"]["options"]["properties"]
    of_rater = {name.removeprefix("PHOEBE_") for name in variables if name.startswith("PHOEBE_")}
    assert {name.upper() for name in names} == of_rater - SET_BY_RATER


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
