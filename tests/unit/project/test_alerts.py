"""Alerts and their runbooks: what they name exists, and each has its section, and each anomaly too."""

import re
from pathlib import Path
from typing import Any

import yaml

from phoebe_addon.metrics import Metrics as AddonMetrics
from phoebe_addon.workers.merged_metrics import GAUGES
from rater_service.rating.advice import REASONS
from rater_service.service.metrics import Metrics as RaterMetrics

ROOT = Path(__file__).parents[3]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text("utf-8")
SECTIONS = re.findall(r"^### (\w+)$", RUNBOOKS, re.MULTILINE)
_SUFFIXES = re.compile(r"(_total|_bucket|_sum|_count)$")


def metrics_there_are() -> set[str]:
    """The names of all families, without what samples add to them; some the addon's meter adds later."""
    addon = AddonMetrics(*[lambda: 0.0] * 5)
    registries = (addon.registry, RaterMetrics().registry)
    made = {family.name for registry in registries for family in registry.collect()}
    return made | GAUGES.keys()


def test_every_metric_that_a_rule_names_exists() -> None:
    named = {name for rule in RULES for name in re.findall(r"\bphoebe_\w+", rule["expr"])}

    assert {_SUFFIXES.sub("", name) for name in named} - metrics_there_are() == set()


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
