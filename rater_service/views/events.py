"""How events and their money are shown, to people and to programs."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from phoebe_runtime.counts import counted
from rater_service.bills.event import EventAccount, PriceOfEvent, Standing, StoredEvent
from rater_service.bills.events import FoundEvents
from rater_service.bills.explanation import RunStamp
from rater_service.hours import utc_text
from rater_service.money import Rates, decimal_text
from rater_service.prices.loadings import Loading
from rater_service.prices.resolution import PriceSource
from rater_service.rating.advice import reason_text
from rater_service.rollup import Version
from rater_service.views.documents import Kind
from rater_service.views.explanation import ChargeJson, charges_json
from rater_service.views.freshness import ReadJson
from rater_service.views.layout import Words
from rater_service.views.price_lines import LineJson, lines_json, lines_text, source_text
from rater_service.views.terminal import write, write_table

_NOT_REPORTED = "not reported"


class EventJson(TypedDict):
    """An event as it is stored; absent is null. trace_id: in hexadecimal digits."""

    request_id: UUID
    client_request_id: str | None
    producer_id: str | None
    producer_seq: int | None
    auth_id: str | None
    user_id: str | None
    group_id: str | None
    resource_id: str | None
    resource_type: str | None
    base_model: str | None
    model_id: str | None
    requested_model: str | None
    api: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    usage_found: bool
    usage_raw: str | None
    outcome: str
    status_code: int | None
    finish_reason: str | None
    streamed: bool
    event_time: datetime
    start_time: datetime | None
    first_byte_time: datetime | None
    cache_write_tokens: int | None
    prompt_audio_tokens: int | None
    completion_audio_tokens: int | None
    model_untrusted: bool
    answer_bytes: int | None
    part_of: UUID | None
    part_count: int
    usage_partial: bool
    model_echoed: bool
    trace_id: str | None
    stored_at: datetime


class PriceJson(TypedDict):
    """Where a price stands. exact, billed: USD per token. loading: of the price file, by its number."""

    price_book: str
    source: PriceSource
    derived_from: str | None
    premium: str | None
    exact: Rates
    billed: Rates
    loading: int
    file: str
    lines: Sequence[LineJson]


class RollupJson(TypedDict):
    """The rollup of an event's key and hour, and the run that wrote it."""

    id: int
    now: Version
    run: RunStamp


class AccountJson(ReadJson):
    """What became of an event; see `EventAccount`. amount: USD."""

    event: EventJson
    window_start: datetime
    standing: Standing
    reason: str | None
    advice: str | None
    amount: Decimal | None
    charges: Sequence[ChargeJson]
    price: PriceJson | None
    rollup: RollupJson | None
    parts: Sequence[UUID]


class EventsJson(TypedDict):
    """Events of a window, oldest first. has_more: there are others behind them."""

    window_start: datetime
    window_end: datetime
    events: Sequence[EventJson]
    has_more: bool


EVENT = Kind("event", AccountJson)
EVENTS = Kind("events", EventsJson)


def show_events(start: datetime, end: datetime, found: FoundEvents) -> None:
    """Write events as a table, and how to see those behind them."""
    window = f"{utc_text(start)} to {utc_text(end)}"
    if not found.events:
        write(f"no such event is stored of {window}; it was pruned, or waits in the spool of a producer")
        return
    write_table(
        f"events of {window}, oldest first",
        (
            "request id",
            "ended",
            "auth_id",
            "user_id",
            "model_id",
            "prompt",
            "cached",
            "completion",
            "outcome",
        ),
        map(_event_row, found.events),
    )
    write(f"next: phoebe event {found.events[-1].row.request_id}")
    if found.has_more:
        write(f"there are more: --after {found.events[-1].row.request_id}")


def _event_row(event: StoredEvent) -> tuple[str | int | None, ...]:
    row = event.row
    return (
        str(row.request_id),
        utc_text(row.event_time),
        row.auth_id,
        row.user_id,
        row.model_id,
        row.prompt_tokens,
        row.cached_tokens,
        row.completion_tokens,
        row.outcome,
    )


def events_json(start: datetime, end: datetime, found: FoundEvents) -> EventsJson:
    """Give events for programs."""
    return {
        "window_start": start,
        "window_end": end,
        "events": [event_json(event) for event in found.events],
        "has_more": found.has_more,
    }


def show_account(account: EventAccount) -> None:
    """Write, for a person to read from top to bottom, what became of an event."""
    row = account.event.row
    write(f"event {row.request_id}: {standing_text(account)}")
    write_table("the event", ("field", "value"), map(_field_row, event_fields(account.event)))
    if account.charges:
        write_table(
            "what it costs" if account.standing is Standing.BILLED else "what it would cost",
            ("tokens", "how many", "USD per token", "USD"),
            [
                *((one.kind, one.tokens, one.rate, one.amount) for one in account.charges),
                ("cost", None, None, account.amount),
            ],
        )
    if account.price is not None:
        for line in price_text(account.price):
            write(line)
    if account.rollup is not None:
        of_it = "it is a part of" if account.standing is Standing.BILLED else "of its key and hour there is"
        write(
            f"{of_it} rollup {account.rollup.id}: {counted(account.rollup.now.event_count, 'event')}, "
            f"{decimal_text(account.rollup.now.cost)} USD, written by {_run_text(account.rollup.run)}"
        )
        write(f"next: phoebe explain {account.rollup.id} --events")
    if account.advice is not None:
        write(f"next: {account.advice}")
    for part in account.parts:
        write(f"another model of the same exchange is an event of its own: phoebe event {part}")
    if row.part_of is not None:
        write(f"it is what one model used of an exchange: phoebe event {row.part_of}")


def standing_text(account: EventAccount) -> str:
    """Say in one sentence what became of an event."""
    amount = "an amount nobody knows" if account.amount is None else f"{decimal_text(account.amount)} USD"
    match account.standing:
        case Standing.BILLED:
            return f"billed, {amount}"
        case Standing.NOT_RATED:
            return f"no run has rated it yet; it would be {amount}"
        case Standing.FREE:
            return "free: the exchange did not complete, and the engine reported no usage"
        case Standing.NOT_BILLED:
            assert account.reason is not None
            return f"not billed: {reason_text(account.reason)}"


def price_text(price: PriceOfEvent) -> Iterator[str]:
    """Say where the rates stand, line by line of the price file."""
    yield f"price: {source_text(price.price)}; price book {price.price_book}, {loading_text(price.loading)}"
    yield from lines_text(price.price_book, price.lines)


def loading_text(loading: Loading) -> str:
    """Say which file was loaded, when and by whom."""
    by = f" by {loading.loaded_by}" if loading.loaded_by else ""
    return f"{loading.source}, loading {loading.number} at {utc_text(loading.loaded_at)}{by}"


def event_fields(event: StoredEvent) -> Iterator[tuple[str, str]]:
    """Give the fields of an event as they are stored; what is absent says so."""
    for name, value in event.row._asdict().items():
        if name != "request_id":
            yield name, _field_text(value)
    yield "stored_at", utc_text(event.stored_at)


def account_json(account: EventAccount) -> AccountJson:
    """Give all of it for programs; absent is null."""
    price, rollup = account.price, account.rollup
    return {
        "event": event_json(account.event),
        "window_start": account.event.hour,
        "standing": account.standing,
        "reason": account.reason,
        "advice": account.advice,
        "amount": account.amount,
        "charges": charges_json(account.charges),
        "price": None if price is None else price_json(price),
        "rollup": None if rollup is None else {"id": rollup.id, "now": rollup.now, "run": rollup.run},
        "parts": account.parts,
    }


def price_json(price: PriceOfEvent) -> PriceJson:
    """Give where the rates stand for programs."""
    told = price.price
    return {
        "price_book": price.price_book,
        "source": told.source,
        "derived_from": told.derived_from,
        "premium": None if told.premium is None else told.premium.describe(),
        "exact": told.exact,
        "billed": told.billed,
        "loading": price.loading.number,
        "file": price.loading.source,
        "lines": lines_json(price.lines),
    }


def event_json(event: StoredEvent) -> EventJson:
    """Give an event for programs; absent is null."""
    row = event.row
    return {
        "request_id": row.request_id,
        "client_request_id": row.client_request_id,
        "producer_id": row.producer_id,
        "producer_seq": row.producer_seq,
        "auth_id": row.auth_id,
        "user_id": row.user_id,
        "group_id": row.group_id,
        "resource_id": row.resource_id,
        "resource_type": row.resource_type,
        "base_model": row.base_model,
        "model_id": row.model_id,
        "requested_model": row.requested_model,
        "api": row.api,
        "prompt_tokens": row.prompt_tokens,
        "cached_tokens": row.cached_tokens,
        "completion_tokens": row.completion_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "usage_found": row.usage_found,
        "usage_raw": row.usage_raw,
        "outcome": row.outcome,
        "status_code": row.status_code,
        "finish_reason": row.finish_reason,
        "streamed": row.streamed,
        "event_time": row.event_time,
        "start_time": row.start_time,
        "first_byte_time": row.first_byte_time,
        "cache_write_tokens": row.cache_write_tokens,
        "prompt_audio_tokens": row.prompt_audio_tokens,
        "completion_audio_tokens": row.completion_audio_tokens,
        "model_untrusted": row.model_untrusted,
        "answer_bytes": row.answer_bytes,
        "part_of": row.part_of,
        "part_count": row.part_count,
        "usage_partial": row.usage_partial,
        "model_echoed": row.model_echoed,
        "trace_id": None if row.trace_id is None else row.trace_id.hex(),
        "stored_at": event.stored_at,
    }


def _field_row(field: tuple[str, str]) -> tuple[str, str]:
    name, value = field
    # The engine's usage object is the only one that is long.
    return name, Words(value) if name == "usage_raw" else value


def _field_text(value: object) -> str:
    match value:
        case None:
            return _NOT_REPORTED
        case datetime():
            return utc_text(value)
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return decimal_text(value)
        case bytes():
            return value.hex()
    return str(value)


def _run_text(run: RunStamp) -> str:
    return f"run {run.id} ({run.mode}, asked for by {run.requested_by}), finished {utc_text(run.finished_at)}"
