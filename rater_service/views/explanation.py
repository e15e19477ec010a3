"""How an explained rollup is shown, to people and to programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import NotRequired, TypedDict
from uuid import UUID

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.bills.explain import EventPage
from rater_service.bills.explanation import (
    EventSums,
    Explanation,
    RateOrigin,
    RollupChange,
    RunStamp,
    found_changed,
)
from rater_service.hours import utc_text
from rater_service.money import Rates, decimal_text
from rater_service.prices.resolution import Price, PriceSource
from rater_service.rollup import Charge, Version
from rater_service.views.documents import Kind
from rater_service.views.freshness import ReadJson
from rater_service.views.layout import Words
from rater_service.views.price_lines import LineJson, lines_json, lines_text, source_text
from rater_service.views.terminal import write, write_table


class ChargeJson(TypedDict):
    """What the tokens of one kind cost. rate: USD per token; amount: USD."""

    kind: str
    tokens: int
    rate: Decimal
    amount: Decimal


class OriginJson(TypedDict):
    """Where a rollup's rates come from; see `RateOrigin`. exact, billed, base, current: USD per token."""

    price_book: str
    loading: int
    file: str
    loaded_at: datetime
    loaded_by: str | None
    in_force_from: datetime | None
    in_force_until: datetime | None
    prices_hours: bool
    source: PriceSource | None
    derived_from: str | None
    premium: str | None
    base: Rates | None
    exact: Rates | None
    billed: Rates | None
    frozen: bool
    current_price_book: str | None
    current: Rates | None
    lines: Sequence[LineJson]


class BehindJson(TypedDict):
    """An event behind a rollup."""

    request_id: UUID
    client_request_id: str | None
    event_time: datetime
    stored_at: datetime
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    base_model: str | None
    outcome: str
    usage_found: bool
    model_untrusted: bool
    model_echoed: bool
    part_of: UUID | None
    part_count: int
    usage_partial: bool
    answer_bytes: int | None


class ExplanationJson(ReadJson):
    """All there is to say of a rollup; see `Explanation`. events, has_more_events: only if asked for."""

    id: int
    auth_id: str
    resource_id: str
    model_id: str
    window_start: datetime
    deleted: bool
    rollup: Version | None
    charges: Sequence[ChargeJson]
    rates: OriginJson | None
    run: RunStamp | None
    changes: Sequence[RollupChange]
    found_changed_by_runs: Sequence[int]
    event_sums: EventSums
    disagreements: Sequence[str]
    agrees: bool
    events: NotRequired[Sequence[BehindJson]]
    has_more_events: NotRequired[bool]


EXPLANATION = Kind("explanation", ExplanationJson)


def show_explanation(told: Explanation) -> None:
    """Write it for a person to read from top to bottom."""
    key = told.key
    hour = utc_text(key.window_start)
    title = f"rollup {told.id}: {key.auth_id}, {key.resource_id}, {key.model_id}, {hour}, one hour"
    write(f"{title}: DELETED" if told.now is None else title)
    if told.now is not None:
        _show_arithmetic(told.now)
    if told.origin is not None:
        _show_origin(told.origin)
    if told.run is not None:
        write(f"written by {_run_text(told.run)}")
    _show_changes(told)
    write(_events_text(told.events))
    if not told.disagreements:
        write("it agrees with its rates, its ledger and its events")


def show_events(page: EventPage) -> None:
    """Write the events, and how to see those that follow."""
    write_table(
        counted(len(page.events), "event"),
        (
            "request_id",
            "client_request_id",
            "ended",
            "prompt",
            "cached",
            "completion",
            "outcome",
            "counts",
            "part of",
            "answer",
        ),
        map(_event_row, page.events),
    )
    if page.has_more:
        write(f"there are more: --after {page.events[-1]['request_id']}")


def explanation_json(told: Explanation, page: EventPage | None) -> ExplanationJson:
    """Give all of it for programs; `events` only if they were asked for."""
    document: ExplanationJson = {
        "id": told.id,
        "auth_id": told.key.auth_id,
        "resource_id": told.key.resource_id,
        "model_id": told.key.model_id,
        "window_start": told.key.window_start,
        "deleted": told.now is None,
        "rollup": told.now,
        "charges": charges_json(() if told.now is None else told.now.charges()),
        "rates": None if told.origin is None else _origin_json(told.origin),
        "run": told.run,
        "changes": told.changes,
        "found_changed_by_runs": [change.run.id for change in found_changed(told.changes)],
        "event_sums": told.events,
        "disagreements": told.disagreements,
        "agrees": not told.disagreements,
    }
    if page is not None:
        document["events"] = [_event_json(event) for event in page.events]
        document["has_more_events"] = page.has_more
    return document


def charges_json(charges: Sequence[Charge]) -> list[ChargeJson]:
    """Return what is written of charges as JSON."""
    return [
        {"kind": charge.kind, "tokens": charge.tokens, "rate": charge.rate, "amount": charge.amount}
        for charge in charges
    ]


def _show_arithmetic(now: Version) -> None:
    charges = [(charge.kind, charge.tokens, charge.rate, charge.amount) for charge in now.charges()]
    write_table(
        "what it costs",
        ("tokens", "how many", "USD per token", "USD"),
        [*charges, ("cost", None, None, now.explained_cost())],
    )
    write(
        f"charged at the prompt rate: {now.billable_prompt_tokens} of "
        f"{counted(now.prompt_tokens, 'prompt token')} in {counted(now.event_count, 'event')}: event by "
        "event, those that did not come from the cache"
    )


def _show_origin(origin: RateOrigin) -> None:
    if origin.price is not None and origin.base is not None:
        _show_derivation(origin.price, origin)
    elif origin.price is not None:
        write(f"rates: {source_text(origin.price)}")
    loading = origin.loading
    since = "the beginning" if loading.in_force_from is None else utc_text(loading.in_force_from)
    until = "further notice" if origin.in_force_until is None else utc_text(origin.in_force_until)
    spell = f"in force from {since} until {until}" if origin.prices_hours else "which prices no hour any more"
    loaded = f"{loading.source}, loaded {utc_text(loading.loaded_at)}"
    write(f"price book: {loading.content_hash} ({loaded}), {spell}")
    for line in lines_text(loading.content_hash, origin.lines):
        write(line)
    if origin.is_frozen:
        write(_frozen_text(origin))


def _show_derivation(price: Price, origin: RateOrigin) -> None:
    assert origin.base is not None
    base, exact, billed = (rates.by_component() for rates in (origin.base, price.exact, price.billed))
    write(f"rates: {source_text(price)}")
    write_table(
        "USD per token",
        ("tokens", "base rate", "with premium", "as billed"),
        ((kind, base[kind], exact[kind], billed[kind]) for kind in base),
    )


def _frozen_text(origin: RateOrigin) -> str:
    if origin.current is None:
        return "frozen: no price book prices it any more; it keeps its rates unless a run says --reprice"
    rates = " / ".join(map(decimal_text, origin.current.price.billed.by_component().values()))
    return (
        f"frozen: rated for the first time now, price book {origin.current.book.content_hash} would price it "
        f"at {rates} USD per prompt / cached / completion token; it keeps its rates unless a run says "
        "--reprice"
    )


def _run_text(run: RunStamp) -> str:
    return (
        f"run {run.id} ({run.mode}, asked for by {run.requested_by}), finished {utc_text(run.finished_at)}, "
        f"knowing what was stored by {utc_text(run.knowledge_at)}"
    )


def _show_changes(told: Explanation) -> None:
    tampered = found_changed(told.changes)
    write_table(
        "what runs did to it, oldest first",
        ("run", "finished", "asked for by", "what", "cost before", "cost after", "changed"),
        (_change_row(change, change in tampered) for change in told.changes),
    )


def _change_row(change: RollupChange, was_tampered: bool) -> tuple[str | int | Decimal | None, ...]:
    what = "inserted" if change.old is None else "deleted" if change.new is None else "changed"
    return (
        change.run.id,
        utc_text(change.run.finished_at),
        change.run.requested_by,
        Words(f"{what}, FOUND IT CHANGED BY NONE OF THE RUNS" if was_tampered else what),
        None if change.old is None else change.old.cost,
        None if change.new is None else change.new.cost,
        Words("; ".join(_differences(change))),
    )


def _differences(change: RollupChange) -> Iterator[str]:
    if change.old is None or change.new is None:
        return
    old, new = asdict(change.old), asdict(change.new)
    for name in old:
        if name != "cost" and old[name] != new[name]:
            yield f"{name}: {_text(old[name])} -> {_text(new[name])}"


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return decimal_text(value)
    return "none" if value is None else str(value)


def _events_text(events: EventSums) -> str:
    late = (
        "; some may have come after the last run and will be billed by the next" if events.came_late else ""
    )
    others = ", ".join(
        f"{count} {what}"
        for count, what in (
            (events.without_usage, "without usage, never billed"),
            (events.untrusted, "under a model name that may be the client's own word, never billed"),
        )
        if count
    )
    kept = "" if events.pruned_at is None else f" (by their sums: dropped at {utc_text(events.pruned_at)})"
    return (
        f"its events{kept}: {events.events} with {events.prompt_tokens} prompt, "
        f"{events.cached_tokens} cached, {events.completion_tokens} completion, "
        f"{events.billable_prompt_tokens} billable prompt tokens"
        f"{late}{f'; besides {others}' if others else ''}"
    )


def _event_row(event: asyncpg.Record) -> tuple[str | int | None, ...]:
    return (
        str(event["request_id"]),
        event["client_request_id"],
        utc_text(event["event_time"]),
        event["prompt_tokens"],
        event["cached_tokens"],
        event["completion_tokens"],
        event["outcome"],
        Words(_counts(event)),
        None if event["part_of"] is None else str(event["part_of"]),
        _answer(event),
    )


def _counts(event: asyncpg.Record) -> str:
    if not event["usage_found"]:
        return "no usage"
    if event["model_untrusted"]:
        return "model untrusted"
    if event["usage_partial"] or event["prompt_tokens"] is None:
        return "without a count"
    return "yes, the name as asked" if event["model_echoed"] else "yes"


def _answer(event: asyncpg.Record) -> str | None:
    return None if event["answer_bytes"] is None else counted(event["answer_bytes"], "byte")


def _event_json(event: asyncpg.Record) -> BehindJson:
    return {
        "request_id": event["request_id"],
        "client_request_id": event["client_request_id"],
        "event_time": event["event_time"],
        "stored_at": event["stored_at"],
        "prompt_tokens": event["prompt_tokens"],
        "cached_tokens": event["cached_tokens"],
        "completion_tokens": event["completion_tokens"],
        "base_model": event["base_model"],
        "outcome": event["outcome"],
        "usage_found": event["usage_found"],
        "model_untrusted": event["model_untrusted"],
        "model_echoed": event["model_echoed"],
        "part_of": event["part_of"],
        "part_count": event["part_count"],
        "usage_partial": event["usage_partial"],
        "answer_bytes": event["answer_bytes"],
    }


def _origin_json(origin: RateOrigin) -> OriginJson:
    price = origin.price
    current = origin.current
    return {
        "price_book": origin.loading.content_hash,
        "loading": origin.loading.number,
        "file": origin.loading.source,
        "loaded_at": origin.loading.loaded_at,
        "loaded_by": origin.loading.loaded_by,
        "in_force_from": origin.loading.in_force_from,
        "in_force_until": origin.in_force_until,
        "prices_hours": origin.prices_hours,
        "source": None if price is None else price.source,
        "derived_from": None if price is None else price.derived_from,
        "premium": None if price is None or price.premium is None else price.premium.describe(),
        "base": origin.base,
        "exact": None if price is None else price.exact,
        "billed": None if price is None else price.billed,
        "frozen": origin.is_frozen,
        "current_price_book": None if current is None else current.book.content_hash,
        "current": None if current is None else current.price.billed,
        "lines": lines_json(origin.lines),
    }
