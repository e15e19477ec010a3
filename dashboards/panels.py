"""Panels as Grafana has them: numbers, lines, tables."""

from typing import Any

type Json = dict[str, Any]
type Target = tuple[str, str]
"""An expression, and its legend."""

WIDTH = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GOOD_OR_BAD: list[Json] = [{"color": "red", "value": None}, {"color": "green", "value": 1}]


def steps(*bounds: float) -> list[Json]:
    """Colours from green on: orange from the first bound, red from the second."""
    colors = ("green", "orange", "red") if len(bounds) == 2 else ("green", "red")
    return [{"color": color, "value": bound} for color, bound in zip(colors, (None, *bounds), strict=True)]


def panel(  # noqa: PLR0913 - what a panel is
    kind: str,
    title: str,
    unit: str,
    about: str,
    *targets: Target,
    width: int = 8,
    height: int = 8,
    **options: Any,
) -> Json:
    """One panel. targets: pairs of expression and legend."""
    made: Json = {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": DATASOURCE,
                "expr": expression,
                "legendFormat": legend,
                **({"instant": True, "range": False} if kind != "timeseries" else {"range": True}),
            }
            for number, (expression, legend) in enumerate(targets)
        ],
    }
    made["fieldConfig"]["defaults"] |= options.pop("defaults", {})
    return made | options


def stat(  # noqa: PLR0913, PLR0917 - what a panel is
    title: str,
    unit: str,
    about: str,
    expression: str,
    thresholds: list[Json],
    width: int = 4,
    **defaults: Any,
) -> Json:
    """One number, in the colour of how bad it is."""
    return panel(
        "stat",
        title,
        unit,
        about,
        (expression, ""),
        width=width,
        height=4,
        defaults={"thresholds": {"mode": "absolute", "steps": thresholds}, **defaults},
        options={
            "colorMode": "background",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )


def lines(  # noqa: PLR0913 - what a panel is
    title: str,
    unit: str,
    about: str,
    *targets: Target,
    width: int = 8,
    stacked: bool = False,
    minimum: int | None = 0,
) -> Json:
    """Lines over time."""
    custom: Json = {
        "fillOpacity": 20 if stacked else 0,
        "stacking": {"mode": "normal" if stacked else "none"},
    }
    defaults: Json = {"custom": custom} | ({} if minimum is None else {"min": minimum})
    return panel(
        "timeseries",
        title,
        unit,
        about,
        *targets,
        width=width,
        defaults=defaults,
        options={
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def table(title: str, about: str, width: int, *columns: tuple[str, str, str]) -> Json:
    """A table by instance or name. columns: expression, heading, unit."""
    made = panel(
        "table",
        title,
        "short",
        about,
        *[(expression, heading) for expression, heading, _ in columns],
        width=width,
    )
    for target in made["targets"]:
        target["format"] = "table"
    letters = [target["refId"] for target in made["targets"]]
    headings = {f"Value #{letter}": heading for letter, (_, heading, _) in zip(letters, columns, strict=True)}
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": headings}},
    ]
    made["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": heading}, "properties": [{"id": "unit", "value": unit}]}
        for _, heading, unit in columns
    ]
    return made


def quantiles(metric: str, selector: str) -> list[Target]:
    """Targets for the middle, and for one in twenty and one in a hundred."""
    return [
        (
            f"histogram_quantile({share}, "
            f"sum by (le) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))",
            name,
        )
        for share, name in ((0.5, "half below"), (0.95, "19 of 20 below"), (0.99, "99 of 100 below"))
    ]


def per_minute(metric: str, selector: str, by: str) -> Target:
    """How many a minute, by labels."""
    legend = " ".join("{{" + label + "}}" for label in by.split(", "))
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval])) * 60", legend


def rate(metric: str, selector: str, by: str) -> Target:
    """How many a second, by a label."""
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))", "{{" + by + "}}"
