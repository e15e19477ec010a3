"""The plain manifests of deploy/manifests, and the chart's values, as a cluster's owner would read them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from rater_service.cli.program import app
from rater_service.cli.variables import ADDON_VARIABLES, own_variables
from tests.harness.dockerfile import final_stage

DEPLOY = Path(__file__).parents[3] / "deploy"
CHART = DEPLOY / "helm" / "phoebe"
FILES = sorted((DEPLOY / "manifests").glob("*.yaml"))

type Object = dict[str, Any]


def objects(file: Path) -> list[Object]:
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


def pods(file: Path) -> Iterator[tuple[Object, Object]]:
    """Give each pod's specification, with what makes it."""
    for each in objects(file):
        spec = each.get("spec", {})
        if each["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield each, spec["template"]["spec"]


def containers(pod: Object) -> list[Object]:
    """Give those that are Phoebe's."""
    every = [*pod.get("initContainers", []), *pod["containers"]]
    return [each for each in every if "phoebe" in each["image"]]


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_is_one_for_each_topology() -> None:
    assert [file.stem for file in FILES] == ["gateway", "sidecar", "trial"]


def test_every_pod_runs_as_the_images_user_with_nothing_to_write_to_and_no_rights(file: Path) -> None:
    stage = final_stage("addon")
    user, group = map(int, stage.last("USER").rest.split(":"))
    for made, pod in pods(file):
        name = made["metadata"]["name"]
        context = pod["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (user, group, group), name
        assert context["runAsNonRoot"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def test_no_pod_gets_kubernetes_own_variables_for_services(file: Path) -> None:
    # PHOEBE_RATER_PORT=tcp://… of a Service phoebe-rater would end the start as a misspelt option.
    assert all(pod["enableServiceLinks"] is False for _, pod in pods(file))


def test_every_variable_that_is_set_is_one(file: Path) -> None:
    known = {*own_variables(typer.main.get_command(app)), *ADDON_VARIABLES}
    for _, pod in pods(file):
        for container in containers(pod):
            names = [variable["name"] for variable in container["env"]]
            assert len(names) == len(set(names))
            assert {name for name in names if name.startswith("PHOEBE_")} <= known


def test_the_commands_are_ones_and_are_asked_for_rightly(file: Path) -> None:
    command = typer.main.get_command(app)
    asked = set()
    for _, pod in pods(file):
        for container in containers(pod):
            if "rater" not in container["image"]:
                continue
            name, *rest = container["args"]
            with command.make_context("phoebe", [name, *rest]) as context:
                found = command.get_command(context, name)  # type: ignore[attr-defined]
                found.make_context(name, rest, parent=context)
            asked.add(name)
    assert {"serve", "migrate"} <= asked


def test_what_is_mounted_is_a_volume_and_a_secret_is_never_a_single_file(file: Path) -> None:
    for made, pod in pods(file):
        claims = [each["metadata"]["name"] for each in made["spec"].get("volumeClaimTemplates", [])]
        volumes = {volume["name"] for volume in pod["volumes"]} | set(claims)
        for container in containers(pod):
            for mount in container["volumeMounts"]:
                assert mount["name"] in volumes
                assert "subPath" not in mount


def test_the_proxys_time_to_end_is_in_its_pods(file: Path) -> None:
    [addon] = [pod for made, pod in pods(file) if made["kind"] == "StatefulSet"]
    [container] = containers(addon)
    environment = {each["name"]: each.get("value") for each in container["env"]}
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = int(environment["PHOEBE_DRAIN_TIMEOUT"])
    assert addon["terminationGracePeriodSeconds"] >= pause + drain + 15


def test_probes_ask_the_metrics_port_that_the_program_listens_on(file: Path) -> None:
    for made, pod in pods(file):
        if made["kind"] in {"Job", "CronJob"}:
            continue
        [container] = containers(pod)
        [port] = [each["containerPort"] for each in container["ports"] if each["name"] == "metrics"]
        assert {"name": "PHOEBE_METRICS", "value": f"0.0.0.0:{port}"} in container["env"]
        asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
        assert {get["port"] for get in asked.values()} == {"metrics"}
        # A rater without prices takes events all the same.
        ready = "/readyz" if made["kind"] == "StatefulSet" else "/readyz/metering"
        assert [get["path"] for get in asked.values()] == ["/livez", "/livez", ready]


def test_what_is_not_billed_yet_outlives_its_pod(file: Path) -> None:
    [proxies] = [each["spec"] for each in objects(file) if each["kind"] == "StatefulSet"]
    assert proxies["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    }
    assert proxies["podManagementPolicy"] == "Parallel"
    [claim] = proxies["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "spool"


def test_nothing_that_can_not_be_changed_has_a_version(file: Path) -> None:
    for each in objects(file):
        for fixed in (
            each.get("spec", {}).get("selector", {}),
            each.get("spec", {}).get("volumeClaimTemplates", []),
        ):
            assert "version" not in json.dumps(fixed)
            assert "helm.sh/chart" not in json.dumps(fixed)


def test_the_migration_needs_nothing_that_the_release_makes(file: Path) -> None:
    made = {(each["kind"], each["metadata"]["name"]) for each in objects(file)}
    job, _ = [each for each in objects(file) if each["kind"] == "Job"]
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "default"
    named = json.dumps(pod)
    assert not any(f'"{name}"' in named for kind, name in made if kind in {"ConfigMap", "Secret"})


def test_a_beside_the_engine_addon_starts_before_it_and_ends_after_it() -> None:
    [pod] = [
        pod for made, pod in pods(DEPLOY / "manifests" / "sidecar.yaml") if made["kind"] == "StatefulSet"
    ]
    [addon] = pod["initContainers"]
    assert addon["restartPolicy"] == "Always"
    [engine] = pod["containers"]
    assert {"name": "PHOEBE_UPSTREAM", "value": "http://127.0.0.1:8000"} in addon["env"]
    assert "127.0.0.1" in engine["args"]


def test_every_value_has_a_place_in_the_schema_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert list(compared(values, schema, schema["$defs"], "")) == []


def compared(values: Object, schema: Object, definitions: Object, path: str) -> Iterator[str]:
    """Name what one of both has and the other has not, where the schema lists all names."""
    schema = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if schema.get("additionalProperties") is not False or path.endswith(".options"):
        return
    yield from (f"{path}.{name}" for name in values.keys() ^ schema["properties"].keys())
    for name, value in values.items():
        if isinstance(value, dict) and name in schema["properties"]:
            yield from compared(value, schema["properties"][name], definitions, f"{path}.{name}")


def test_the_options_of_the_schema_are_options() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    known = {"addon": ADDON_VARIABLES, "rater": own_variables(typer.main.get_command(app))}
    for half, variables in known.items():
        names = schema[half]["properties"]["options"]["properties"]
        assert {f"PHOEBE_{name.upper()}" for name in names} <= set(variables)


def test_the_chart_is_of_the_projects_version() -> None:
    project = re.search(r'^version = "(.+)"$', (DEPLOY.parent / "pyproject.toml").read_text(), re.MULTILINE)
    assert project is not None
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == project[1]
