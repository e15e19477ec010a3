"""The results of a run: the table that is shown and the file that is written."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from bench.ratio import Ratio


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark's outcome.

    reference: what Phoebe is compared with. unit: what `ratio.phoebe` and `ratio.reference` are measured in.
    note: the conditions that the numbers depend on.
    """

    name: str
    ratio: Ratio
    reference: str
    unit: str
    note: str


def results_table(results: Iterable[Result]) -> Table:
    """One line for each result."""
    title = "Phoebe / reference (median, lowest and highest round)"
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("benchmark", no_wrap=True)
    for name in ("ratio", "low", "high", "Phoebe", "reference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit")
    table.add_column("the reference is")
    for result in results:
        ratio = result.ratio
        table.add_row(
            result.name,
            *(f"{value:.3f}" for value in (ratio.median, ratio.low, ratio.high)),
            *(f"{value:,.1f}" for value in (ratio.phoebe, ratio.reference)),
            escape(result.unit),
            escape(result.reference),
        )
    return table


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Writes the results as a JSON list of `{name, ratio, low, high, reference, unit, note}`.

    The file is replaced in one step, so that a reader never sees a part of it.
    """
    entries = [
        {
            "name": result.name,
            "ratio": round(result.ratio.median, 4),
            "low": round(result.ratio.low, 4),
            "high": round(result.ratio.high, 4),
            "reference": result.reference,
            "unit": result.unit,
            "note": result.note,
        }
        for result in results
    ]
    written = path.with_name(f"{path.name}.new")
    written.write_text(json.dumps(entries, indent=2) + "\n")
    written.replace(path)
