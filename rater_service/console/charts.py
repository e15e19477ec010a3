"""Bars as SVG, made here: they need no script, print, take the page's colours, and a reader hears them.

A chart library would need a script, styles in the page and a second place that computes. Amounts become
lengths only here; what is said beside a bar is the exact text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

WIDTH = 720
HEIGHT = 180
_LABELS_MAX = 8
BARS_MAX = 200
"""Of more nobody can choose one."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a bar stands for. label: under it. text: what it says when asked. estimate: on no bill, on top."""

    label: str
    amount: Decimal
    text: str
    href: str | None = None
    estimate: Decimal = Decimal(0)
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar in the units of the drawing. est_*: the hatched part above it. label: empty: no room."""

    x: str
    y: str
    width: str
    height: str
    est_y: str
    est_height: str
    label: str
    text: str
    href: str | None
    unfinished: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of bars. top: the amount at its upper edge. title: what it shows."""

    title: str
    bars: tuple[Bar, ...]
    top: Decimal
    has_estimate: bool
    width: int = WIDTH
    height: int = HEIGHT


def bars(title: str, values: Sequence[Value]) -> Chart | None:
    """Draw a bar for each value, from left to right; None: there is nothing to draw, or too much."""
    if len(values) > BARS_MAX:
        return None
    top = max((value.amount + value.estimate for value in values), default=Decimal(0))
    if not top:
        return None
    step = Decimal(WIDTH) / len(values)
    width = max(step * Decimal("0.8"), Decimal(1))
    every = -(-len(values) // _LABELS_MAX)
    made = []
    for index, value in enumerate(values):
        height, estimate = (amount / top * HEIGHT for amount in (value.amount, value.estimate))
        x = step * index + (step - width) / 2
        made.append(
            Bar(
                x=_length(x),
                y=_length(HEIGHT - height),
                width=_length(width),
                height=_length(height),
                est_y=_length(HEIGHT - height - estimate),
                est_height=_length(estimate),
                label=value.label if index % every == 0 else "",
                text=value.text,
                href=value.href,
                unfinished=value.unfinished,
            )
        )
    return Chart(title, tuple(made), top, any(value.estimate for value in values))


def _length(amount: Decimal) -> str:
    return f"{amount:.2f}"
