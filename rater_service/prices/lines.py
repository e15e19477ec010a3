"""The lines of a price file by which a model is priced, to be read by whoever asks why."""

from dataclasses import dataclass

from rater_service.prices.file import LoadedPriceFile
from rater_service.prices.resolution import Price

_LINE_CHARS_MAX = 400


@dataclass(frozen=True, slots=True)
class PriceLine:
    """A line of a price file. number: from 1. text: without the blanks around it; a very long one is cut."""

    number: int
    text: str


def lines_of(file: LoadedPriceFile, model_id: str, price: Price) -> tuple[PriceLine, ...]:
    """Give the lines that name what the price is made of: the model itself, if it is there, and its base."""
    names = [model_id] if price.derived_from is None else [model_id, price.derived_from]
    numbers = sorted({file.lines[name] for name in names if name in file.lines})
    lines = file.book.content.decode().split("\n") if numbers else []
    return tuple(PriceLine(number, lines[number - 1].strip()[:_LINE_CHARS_MAX]) for number in numbers)
