"""A dashboard around its panels: where they stand, and what can be chosen."""

from collections.abc import Sequence

from dashboards.panels import DATASOURCE, WIDTH, Json

type Rows = Sequence[tuple[str, Sequence[Json]]]
"""Headings, and the panels below each."""


def _variable(name: str, label: str, query: str) -> Json:
    """A choice at the top of the page."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _laid_out(rows: Rows) -> list[Json]:
    """Place panels from left to right, in rows with headings; number them."""
    placed: list[Json] = []
    top = 0
    for heading, panels in rows:
        placed.append(
            {
                "type": "row",
                "title": heading,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            }
        )
        top, left, height = top + 1, 0, 0
        for each in panels:
            if left + each["gridPos"]["w"] > WIDTH:
                top, left, height = top + height, 0, 0
            placed.append(each | {"gridPos": {"x": left, "y": top, **each["gridPos"]}})
            left, height = left + each["gridPos"]["w"], max(height, each["gridPos"]["h"])
        top += height
    return [{"id": number, **each} for number, each in enumerate(placed, 1)]


def dashboard(  # noqa: PLR0913, PLR0917 - what a dashboard is
    uid: str, title: str, about: str, component: str, rows: Rows, names: str = ""
) -> Json:
    """Make a whole dashboard. component: of phoebe_build_info. names: the query for a choice of proxies."""
    build = f'phoebe_build_info{{component="{component}"}}'
    datasource = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
    }
    return {
        "uid": uid,
        "id": None,
        "title": title,
        "description": about,
        "tags": ["phoebe"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "links": [
            {
                "type": "dashboards",
                "title": "Phoebe",
                "tags": ["phoebe"],
                "asDropdown": False,
                "includeVars": False,
                "keepTime": True,
            }
        ],
        "templating": {
            "list": [
                datasource,
                _variable("job", "Job", f"label_values({build}, job)"),
                _variable(
                    "instance",
                    "Instance",
                    f'label_values(phoebe_build_info{{component="{component}", job=~"$job"}}, instance)',
                ),
                *([_variable("name", "Proxy", names)] if names else []),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "enable": True,
                    "iconColor": "red",
                    "datasource": DATASOURCE,
                    "expr": 'ALERTS{alertname=~"Phoebe.*", alertstate="firing"}',
                    "titleFormat": "{{alertname}}",
                    "textFormat": "{{instance}}{{name}}",
                }
            ]
        },
        "panels": _laid_out(rows),
    }
