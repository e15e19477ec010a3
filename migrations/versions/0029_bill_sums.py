"""Coarser sums of bills, so that a page on a month reads thousands of rows and not hundreds of thousands.

By the month they are of each customer, resource and model; by the day of each model. They are made of the
sums by the day, with every change of these.
"""

from rater_service.migrations.sql_files import execute, read

revision = "0029"
down_revision = "0027"
phase = "expand"
locks = {"rated_day": "SHARE ROW EXCLUSIVE"}
reads = ("rated_day",)

_SUMS = {
    "rated_month": ("month", ("auth_id", "resource_id", "model_id")),
    "rated_model_day": ("day", ("model_id",)),
}


def upgrade() -> None:
    """Add the sums. Only runs write to rated_day: they wait, and no batch does."""
    execute("LOCK TABLE rated_day IN SHARE ROW EXCLUSIVE MODE")
    for table, (unit, names) in _SUMS.items():
        parts = {
            "table": table,
            "unit": unit,
            "key": ", ".join((unit, *names)),
            "names": ", ".join(names),
            "same key": " AND ".join(f"known.{name} = delta.{name}" for name in (unit, *names)),
            # Of a day it is the day itself: then an index can be used.
            "moment": "day" if unit == "day" else f"date_trunc('{unit}', day, 'UTC')",
        }
        sums = _filled(read(__file__, "sums"), parts)
        text = _filled(read(__file__, "triggers"), parts)
        for source in ("rated_day", "added", "removed"):
            text = text.replace(f"{{sums of {source}}}", sums.replace("{source}", source))
        execute(read(__file__, table))
        execute(text)


def _filled(text: str, parts: dict[str, str]) -> str:
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text
