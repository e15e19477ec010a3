"""Alerts and their runbooks: what they name exists, and each has its section, and each anomaly too."""

import re
from pathlib import Path
from typing import Any

import yaml

from rater_service.rating.advice import REASONS
from tests.harness.metric_labels import SCRAPED, addon_families, rater_families, series_of

ROOT = Path(__file__).parents[3]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text("utf-8")
SECTIONS = re.findall(r"^### (\w+)$", RUNBOOKS, re.MULTILINE)
SERIES = series_of(addon_families()) | series_of(rater_families())
TESTS: list[dict[str, Any]] = [
    sample
    for test in yaml.safe_load((ROOT / "deploy/prometheus/rules_test.yaml").read_text("utf-8"))["tests"]
    for sample in test["promql_expr_test"]
]


def test_every_metric_that_a_rule_names_exists_with_the_labels_by_which_it_is_chosen() -> None:
    for rule in RULES:
        assert set(re.findall(r"\bphoebe_\w+", rule["expr"])) <= SERIES.keys(), rule
        for name, selector in re.findall(r"\b(\w+)\{([^}]*)\}", rule["expr"]):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!=|=)", selector))
            assert labels <= SERIES.get(name, SCRAPED), rule


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    for alert in ALERTS:
        asked = f'ALERTS{{alertname="{alert["alert"]}", alertstate="firing"}}'
        fires = {bool(sample["exp_samples"]) for sample in TESTS if sample["expr"] == asked}
        assert fires == {True, False}, alert["alert"]


def test_each_alert_is_fired_by_a_drill() -> None:
    drills = "".join(path.read_text("utf-8") for path in (ROOT / "tests/watch").glob("test_drills_*.py"))
    awaited = re.findall(r'wait_until_fires\(\s*"(\w+)"', drills)
    awaited += re.findall(
        r'"(Phoebe\w+)"', "".join(re.findall(r'parametrize\(\s*"alert", \[(.*?)\]', drills))
    )

    assert {alert["alert"] for alert in ALERTS} - set(awaited) == set()


def test_every_alert_says_how_bad_it_is_what_it_is_and_where_its_runbook_is() -> None:
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["runbook_url"].endswith(f"docs/runbooks.md#{alert['alert'].lower()}")


def test_every_alert_and_every_anomaly_has_a_section_and_nothing_else_has() -> None:
    assert sorted(SECTIONS) == sorted({alert["alert"] for alert in ALERTS} | REASONS)


def test_every_section_says_all_that_is_needed() -> None:
    for name, text in zip(SECTIONS, re.split(r"^### \w+$", RUNBOOKS, flags=re.MULTILINE)[1:], strict=True):
        found = re.findall(r"^- \*\*(.*?)\*\*: .", text, re.MULTILINE)
        assert found == ["Meaning", "Impact", "Diagnosis", "Mitigation", "Tell the customer"], name
