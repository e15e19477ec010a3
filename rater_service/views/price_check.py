"""How a price file that was checked is shown."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rater_service.hours import utc_text
from rater_service.prices.file import LoadedPriceFile
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.resolution import Price, PriceSource, resolve
from rater_service.views.terminal import complain, write, write_table

_SOURCES = {PriceSource.BASE_MODEL: "base model", PriceSource.OWN_RATE: "own rate"}


def show_checked(file: Path, loaded: LoadedPriceFile) -> None:
    """Show what each model would be billed at, after the warnings."""
    for warning in loaded.warnings:
        complain(f"warning: {warning}")
    book = loaded.book
    write_table(
        f"{file}: USD per token, as billed",
        ("model", "prompt", "cached", "completion", "from"),
        ((name, *price.billed.by_component().values(), _origin(price)) for name, price in _prices(book)),
    )
    effective = (
        "the next hour after loading" if book.effective_from is None else utc_text(book.effective_from)
    )
    write(f"fine-tunes that are not listed: their base model and the premium, {book.premium.describe()}")
    write(f"in force from: {effective}")
    write(f"price book: {book.content_hash}")


def checked_json(file: Path, loaded: LoadedPriceFile) -> dict[str, object]:
    """Return what is written of a good price file as JSON."""
    book = loaded.book
    return {
        "file": str(file),
        "valid": True,
        "faults": [],
        "warnings": [asdict(warning) for warning in loaded.warnings],
        "price_book": book.content_hash,
        "effective_from": book.effective_from,
        "premium": book.premium.describe(),
        "gpu_floor_rates": dict(book.gpu_floor_rates),
        "models": [
            {
                "model_id": name,
                "prompt_rate": price.billed.prompt,
                "cached_rate": price.billed.cached,
                "completion_rate": price.billed.completion,
                "source": price.source,
                "derived_from": price.derived_from,
            }
            for name, price in _prices(book)
        ],
    }


def _prices(book: PriceBook) -> Iterator[tuple[str, Price]]:
    for name in (*book.base_models, *book.fine_tunes):
        price = resolve(book, name, base_model=None)
        assert isinstance(price, Price)  # a book prices everything it names
        yield name, price


def _origin(price: Price) -> str:
    if price.premium is None:
        return _SOURCES[price.source]
    return f"{price.derived_from}, {price.premium.describe()}"
