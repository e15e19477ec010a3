"""The lines of a price file by which a model is priced, to be read by whoever asks why."""

from dataclasses import dataclass

from rater_service.prices.file import LoadedPriceFile
from rater_service.prices.resolution import Price

_LINE_CHARS_MAX = 400
# Of one entry, which has four lines as a rule.
_LINES_MAX = 12


@dataclass(frozen=True, slots=True)
class PriceLine:
    """A line of a price file. number: from 1. text: without the blanks around it; a very long one is cut."""

    number: int
    text: str


def lines_of(file: LoadedPriceFile, model_id: str, price: Price) -> tuple[PriceLine, ...]:
    """Give the lines that the price is made of: the model's, if it is there, its base's and the premium's."""
    names = [model_id] if price.derived_from is None else [model_id, price.derived_from]
    spans = [(line, file.last_lines.get(name, line)) for name in names if (line := file.lines.get(name))]
    if spans and price.premium is not None and file.premium_lines is not None:
        spans.append(file.premium_lines)
    numbers = sorted(
        {number for first, last in spans for number in range(first, min(last, first + _LINES_MAX - 1) + 1)}
    )
    lines = file.book.content.decode().split("\n") if numbers else []
    return tuple(PriceLine(number, lines[number - 1].strip()[:_LINE_CHARS_MAX]) for number in numbers)
