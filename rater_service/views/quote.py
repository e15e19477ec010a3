"""How the price of a model is shown."""

from datetime import datetime
from decimal import Decimal
from typing import TypedDict

from rater_service.hours import utc_text
from rater_service.money import TokenCounts, cost, decimal_text, per_million
from rater_service.prices.history import Quote
from rater_service.prices.resolution import NoPriceReason, PriceSource
from rater_service.views.documents import Kind
from rater_service.views.rates import RatesJson, rates_json
from rater_service.views.terminal import write, write_table


class QuoteJson(RatesJson):
    """The price of a model. cost: None unless tokens were counted."""

    model_id: str
    base_model: str | None
    exact_prompt_rate: Decimal
    exact_cached_rate: Decimal
    exact_completion_rate: Decimal
    source: PriceSource
    derived_from: str | None
    premium: str | None
    price_book: str
    effective_from: datetime | None
    effective_until: datetime | None
    cost: Decimal | None


class NoPriceJson(TypedDict):
    """Why a model has no price."""

    model_id: str
    base_model: str | None
    reason: NoPriceReason
    message: str


QUOTE = Kind("quote", QuoteJson)
NO_PRICE = Kind("no-price", NoPriceJson)


def show_quote(model: str, found: Quote, counts: TokenCounts | None) -> None:
    """Show what a model costs, where the price comes from and, for counts of tokens, their cost."""
    price = found.price
    exact = price.exact.by_component()
    write_table(
        f"{model}: USD per token",
        ("tokens", "as billed", "before rounding", "per million, as billed"),
        ((name, rate, exact[name], per_million(rate)) for name, rate in price.billed.by_component().items()),
    )
    if price.premium is not None:
        write(f"source: {price.source}, from {price.derived_from} by {price.premium.describe()}")
    else:
        write(f"source: {price.source}")
    since = "the beginning" if found.effective_from is None else utc_text(found.effective_from)
    until = "further notice" if found.effective_until is None else utc_text(found.effective_until)
    write(f"price book: {found.book.content_hash}, in force from {since} until {until}")
    if counts is not None:
        write(
            f"cost: {decimal_text(cost(counts, price.billed))} USD for {counts.billable_prompt} prompt, "
            f"{counts.cached} cached and {counts.completion} completion tokens"
        )


def quote_json(model: str, base_model: str | None, found: Quote, counts: TokenCounts | None) -> QuoteJson:
    """Return what is written of a price as JSON."""
    price = found.price
    return {
        "model_id": model,
        "base_model": base_model,
        **rates_json(price.billed),
        "exact_prompt_rate": price.exact.prompt,
        "exact_cached_rate": price.exact.cached,
        "exact_completion_rate": price.exact.completion,
        "source": price.source,
        "derived_from": price.derived_from,
        "premium": price.premium.describe() if price.premium else None,
        "price_book": found.book.content_hash,
        "effective_from": found.effective_from,
        "effective_until": found.effective_until,
        "cost": cost(counts, price.billed) if counts is not None else None,
    }
