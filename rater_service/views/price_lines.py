"""How the lines of a price file are shown by which something is priced."""

from collections.abc import Iterator, Sequence
from typing import TypedDict

from rater_service.prices.lines import PriceLine
from rater_service.prices.resolution import Price, PriceSource

_SOURCES = {
    PriceSource.BASE_MODEL: "the price file names the model itself, under base_models",
    PriceSource.OWN_RATE: "the price file gives this fine-tune a rate of its own",
}


class LineJson(TypedDict):
    """A line of a price file, counted from 1."""

    line: int
    text: str


def source_text(price: Price) -> str:
    """Say where the rates come from."""
    if price.derived_from is None or price.premium is None:
        return _SOURCES[price.source]
    return (
        f"derived from {price.derived_from} by the premium {price.premium.describe()}, then rounded half-up "
        "to 9 decimals"
    )


def lines_text(price_book: str, lines: Sequence[PriceLine]) -> Iterator[str]:
    """Say what stands in the file, line by line, and how to see all of it. price_book: its hash."""
    for line in lines:
        yield f"  line {line.number}: {line.text}"
    if lines:
        yield f"  the whole file: phoebe prices show {price_book}"


def lines_json(lines: Sequence[PriceLine]) -> list[LineJson]:
    """Return what is written of lines as JSON."""
    return [{"line": line.number, "text": line.text} for line in lines]
