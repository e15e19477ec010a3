"""The dashboards: what they show exists, says its unit and what it means, and is what the code makes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.__main__ import files
from tests.harness.metric_labels import SCRAPED, addon_families, rater_families, series_of

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
SERIES = series_of(rater_families()) | series_of(addon_families())
OF_BOTH = series_of(rater_families()).keys() & series_of(addon_families()).keys()
# Of Prometheus itself and of client libraries.
OTHERS = {
    "up",
    "ALERTS",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
} | {"process_max_fds"}
VARIABLES = re.compile(r"\$\{?(\w+)\}?")
_SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_GROUPS = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel


def targets() -> Iterator[tuple[str, str, str]]:
    """Give title, expression and legend of everything that is drawn."""
    for file in FILES:
        for panel in panels(json.loads(file.read_text("utf-8"))):
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"], target["legendFormat"]


def test_there_are_two_and_they_are_what_the_code_makes() -> None:
    assert [file.stem for file in FILES] == ["phoebe-proxies", "phoebe-rater"]
    assert {file.name: file.read_text("utf-8") for file in FILES} == files(), "make dashboards"


def test_every_metric_exists_and_has_the_labels_by_which_it_is_chosen() -> None:
    for title, expression, _ in targets():
        chosen = _SELECTOR.findall(expression)
        assert {name for name, _ in chosen} >= set(re.findall(r"\bphoebe_\w+", expression)), title
        for name, selector in chosen:
            assert name in SERIES or name in OTHERS, f"{title}: {name}"
            labels = set(re.findall(r"(\w+)\s*(?:=~|!=|=)", selector))
            assert labels <= SERIES.get(name, SCRAPED), f"{title}: {name}{{{selector}}}"


def test_what_is_grouped_or_shown_in_a_legend_is_a_label() -> None:
    for title, expression, legend in targets():
        known = set[str]().union(*(SERIES.get(name, SCRAPED) for name, _ in _SELECTOR.findall(expression)))
        groups = {label.strip() for found in _GROUPS.findall(expression) for label in found.split(",")}
        assert groups - {""} <= known, title
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        # What an aggregation leaves is what it groups by.
        left = groups - {"le"} if re.match(r"(sum|max|min|histogram_quantile)\b", expression) else known
        assert shown <= left, f"{title}: {legend}"


def test_gauges_that_every_rater_reads_from_the_database_are_not_added_up() -> None:
    names = re.compile(r"phoebe_(producer\w*|late_\w+|out_of_time\w+|rejected_events|rating_unbilled\w+)\b")
    for title, expression, _ in targets():
        assert not re.search(rf"sum[^(]*\({names.pattern}", expression), title


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_panel_has_a_unit_a_meaning_and_the_chosen_datasource(file: Path) -> None:
    dashboard = json.loads(file.read_text("utf-8"))
    variables = [each["name"] for each in dashboard["templating"]["list"]]
    assert variables[:3] == ["datasource", "job", "instance"]
    assert (dashboard["uid"], dashboard["id"]) == (file.stem, None)
    assert "__inputs" not in dashboard
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters)), panel["title"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"]["uid"] == "${datasource}", panel["title"]
        for target in panel["targets"]:
            used = set(VARIABLES.findall(target["expr"])) - {"__rate_interval"}
            assert used <= set(variables), panel["title"]
            assert "job" in used, f"{panel['title']}: of both halves"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_panel_covers_another(file: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(file.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} covers {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_compose_has_grafana_read_them() -> None:
    compose = (ROOT / "compose.yaml").read_text("utf-8")
    provider = (ROOT / "deploy/compose/grafana/dashboards/phoebe.yaml").read_text("utf-8")

    assert "./deploy/grafana:/var/lib/grafana/dashboards:ro" in compose
    assert "path: /var/lib/grafana/dashboards" in provider
