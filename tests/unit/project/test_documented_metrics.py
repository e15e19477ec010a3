"""The pages list all metrics with their labels; and labels that are known are there from the start."""

import re
from pathlib import Path

import pytest

from phoebe_addon.gate.refusal import RefusalReason
from rater_service.rating.advice import REASONS
from tests.harness.metric_labels import (
    addon_families,
    addon_registry,
    rater_families,
    rater_registry,
)

ROOT = Path(__file__).parents[3]


def listed(*pages: str) -> dict[str, frozenset[str]]:
    """Give the metrics in the tables of sections called Metrics, with their labels."""
    found: dict[str, frozenset[str]] = {}
    for page in pages:
        text = (ROOT / "docs" / page).read_text("utf-8")
        section = re.split(r"^#+ Metrics$", text, flags=re.MULTILINE)[1]
        section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE):
            for name, labels in re.findall(r"`(phoebe_\w+)(?:\{([\w,]+)\})?`", row):
                found[name] = frozenset(filter(None, labels.split(",")))
    return found


def as_listed(families: dict[str, tuple[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    return {
        name + ("_total" if kind == "counter" else ""): labels for name, (kind, labels) in families.items()
    }


@pytest.mark.parametrize(
    ("pages", "families"),
    [(("addon.md", "scaling.md"), addon_families()), (("rater.md",), rater_families())],
    ids=["addon", "rater"],
)
def test_the_pages_list_every_metric_with_its_labels(
    pages: tuple[str, ...], families: dict[str, tuple[str, frozenset[str]]]
) -> None:
    assert listed(*pages) == as_listed(families)


def test_refusals_and_endings_and_deliveries_are_there_before_the_first() -> None:
    registry = addon_registry()

    for name, labels in [
        *(("phoebe_exchanges_refused_total", {"reason": str(reason)}) for reason in RefusalReason),
        ("phoebe_exchanges_ended_total", {"outcome": "upstream_error"}),
        ("phoebe_events_delivered_total", {"outcome": "conflict"}),
        ("phoebe_deliveries_failed_total", {"reason": "unavailable"}),
        ("phoebe_deliveries_failed_total", {"reason": "other"}),
        ("phoebe_resources_suspect_total", {"suspicion": "echoes"}),
    ]:
        assert registry.get_sample_value(name, labels) == 0, (name, labels)


def test_anomalies_runs_and_events_are_there_before_the_first() -> None:
    registry = rater_registry()

    for name, labels in [
        *(("phoebe_rating_anomalies_total", {"reason": reason}) for reason in sorted(REASONS)),
        ("phoebe_rating_runs_total", {"mode": "routine", "result": "failed"}),
        ("phoebe_events_received_total", {"outcome": "rejected"}),
    ]:
        assert registry.get_sample_value(name, labels) == 0, (name, labels)
