"""Checks of prices against what is served: what has no price, or will have none, and unused prices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from phoebe_runtime.counts import counted
from phoebe_runtime.near_names import nearest
from rater_service.doctor.access import Access
from rater_service.doctor.findings import Finding, failed, ok, warning
from rater_service.hours import hour_of, utc_text
from rater_service.other_models import OTHER_MODELS
from rater_service.prices.history import PriceHistory, Quote
from rater_service.prices.loadings import SHORT_HASH_CHARS, Timeline
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.resolution import NoPrice
from rater_service.prices.store import load_book, load_history, read_timeline
from rater_service.statements import bound

_NAMED_MAX = 10
# Names that are further apart mean something else. Of difflib's ratio.
_CLOSE = 0.75


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model as it was used lately, by what decides its price. resource_id: one of its deployments."""

    model_id: str
    base_model: str | None
    resource_id: str
    resources: int
    events: int
    last_hour: datetime

    def in_words(self) -> str:
        """Say how much it was used, and where."""
        more = f" and {self.resources - 1} more" if self.resources > 1 else ""
        return (
            f"{self.model_id!a}: {counted(self.events, 'event')} from the resource {self.resource_id!a}{more}"
            f", last in the hour {utc_text(self.last_hour)}"
        )


@dataclass(frozen=True, slots=True)
class _Prices:
    """What was used lately, and what it costs. book: by which prices are quoted now; None: there is none."""

    now: datetime
    used: Sequence[UsedModel]
    history: PriceHistory
    timeline: Timeline
    book: PriceBook | None

    @property
    def listed(self) -> Sequence[str]:
        """The models that the book names."""
        return () if self.book is None else (*self.book.base_models, *self.book.fine_tunes)

    def found(self, model: UsedModel, at: datetime) -> Quote | NoPrice:
        return self.history.resolve(model.model_id, model.base_model, at)

    def unpriced(self) -> list[tuple[UsedModel, NoPrice]]:
        """Give what has no price now, most used first."""
        found = ((model, self.found(model, hour_of(self.now))) for model in self.used)
        return [(model, quote) for model, quote in found if isinstance(quote, NoPrice)]


async def _read(access: Access) -> _Prices:
    now = datetime.now(UTC)
    since = hour_of(now) - timedelta(days=access.targets.days)
    async with access.database.acquire() as connection:
        rows = await connection.fetch(*bound("doctor/used_models", since=since, other_models=OTHER_MODELS))
        history = await load_history(connection, since)
        timeline = await read_timeline(connection)
        prevailing = timeline.prevailing(now)
        book = None if prevailing is None else await load_book(connection, prevailing.content_hash)
    return _Prices(now, [UsedModel(**row) for row in rows], history, timeline, book)


async def check_in_force(access: Access) -> Sequence[Finding]:
    """Say by which price book usage is priced, and which is to come."""
    async with access.database.acquire() as connection:
        timeline = await read_timeline(connection)
    now = datetime.now(UTC)
    prevailing = timeline.prevailing(now)
    if prevailing is None:
        return [
            failed(
                "no price file was ever loaded, or all were withdrawn: nothing can be billed",
                "give `phoebe serve` or `phoebe rate` --prices FILE",
            )
        ]
    findings = [ok(f"in force: {prevailing.describe()}")]
    findings += [
        ok(f"to come at {utc_text(coming.start)}: {coming.describe()}") for coming in timeline.to_come(now)
    ]
    return findings


async def check_used_models(access: Access) -> Sequence[Finding]:
    """Say which models were used lately that have no price."""
    prices = await _read(access)
    days = access.targets.days
    if not prices.history:
        return [failed("there are no prices at all", "load a price file: see prices.in-force")]
    unpriced = prices.unpriced()
    findings = [
        failed(f"no price for {model.in_words()}", _advice(model, quote, prices.listed))
        for model, quote in unpriced[:_NAMED_MAX]
    ]
    left = len(unpriced) - _NAMED_MAX
    if left > 0:
        findings.append(
            failed(f"{counted(left, 'more model')} without a price", "`phoebe rate` names them all")
        )
    return findings or [
        ok(f"whatever was used in {counted(days, 'day')} has a price; models: {len(prices.used)}")
    ]


def _advice(model: UsedModel, quote: NoPrice, listed: Sequence[str]) -> str:
    close = nearest(model.model_id, listed, _CLOSE)
    meant = f"; the price file has {close!a}: is that it?" if close else ""
    return f"{quote.reason.explain(model.model_id)}, then rate the hours again{meant}"


async def check_unused(access: Access) -> Sequence[Finding]:
    """Say which prices nobody used lately. One that is misspelt is among them."""
    prices = await _read(access)
    listed = prices.listed
    # A fine-tune uses the price of its base too.
    used = {model.model_id for model in prices.used} | {model.base_model for model in prices.used}
    unused = [name for name in listed if name not in used]
    unpriced = [model.model_id for model, _ in prices.unpriced()]
    findings = [
        warning(
            f"the price of {name!a} was not used in {counted(access.targets.days, 'day')}, and "
            f"{close!a} has none",
            "if they are the same, correct the name in the price file",
        )
        for name in unused
        if (close := nearest(name, unpriced, _CLOSE))
    ]
    named = ", ".join(unused[:_NAMED_MAX]) + (" …" if len(unused) > _NAMED_MAX else "")
    said = f": {named}" if unused else ""
    return [
        *findings,
        ok(
            f"not used in {counted(access.targets.days, 'day')}: {len(unused)} of "
            f"{counted(len(listed), 'listed model')}{said}"
        ),
    ]


async def check_coming(access: Access) -> Sequence[Finding]:
    """Say which models are used and will have no price once the coming price book is in force."""
    prices = await _read(access)
    coming = prices.timeline.to_come(prices.now)
    return [*_without_price(prices)] or [
        ok(
            f"whatever has a price now has one from {utc_text(coming[-1].start)} on"
            if coming
            else "no price book is to come"
        )
    ]


def _without_price(prices: _Prices) -> Iterator[Finding]:
    for loading in prices.timeline.to_come(prices.now):
        for model in prices.used:
            now = prices.found(model, hour_of(prices.now))
            if isinstance(now, Quote) and isinstance(prices.found(model, loading.start), NoPrice):
                yield failed(
                    f"from {utc_text(loading.start)} on there is no price for {model.in_words()}: book "
                    f"{loading.content_hash[:SHORT_HASH_CHARS]} lacks it",
                    "add it to the price file and load that before: `phoebe prices diff` compares the two",
                )
