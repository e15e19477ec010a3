"""How events and their money are shown, to people and to programs."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from rater_service.bills.event import EventAccount, PriceOfEvent, Standing, StoredEvent
from rater_service.bills.explanation import RunStamp
from rater_service.hours import utc_text
from rater_service.money import decimal_text
from rater_service.views.terminal import write, write_table

_NOT_REPORTED = "not reported"


def show_account(account: EventAccount) -> None:
    """Write, for a person to read from top to bottom, what became of an event."""
    row = account.event.row
    write(f"event {row.request_id}: {standing_text(account)}")
    write_table("the event", ("field", "value"), list(event_fields(account.event)))
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
            f"{of_it} rollup {account.rollup.id}: {account.rollup.now.event_count} events, "
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
            return f"not billed: {account.reason}"


def price_text(price: PriceOfEvent) -> Iterator[str]:
    """Say where the rates stand, line by line of the price file."""
    told = price.price
    how = ""
    if told.derived_from is not None and told.premium is not None:
        how = f", from {told.derived_from} by {told.premium.describe()}"
    yield f"price: {told.source}{how}, in price book {price.price_book}"
    for line in price.lines:
        yield f"  line {line.number}: {line.text}"
    if price.lines:
        yield f"  the whole file: phoebe prices show {price.price_book}"


def event_fields(event: StoredEvent) -> Iterator[tuple[str, str]]:
    """Give the fields of an event as they are stored; what is absent says so."""
    for name, value in event.row._asdict().items():
        if name != "request_id":
            yield name, _field_text(value)
    yield "stored_at", utc_text(event.stored_at)


def account_json(account: EventAccount) -> dict[str, object]:
    """Give all of it for programs; absent is null."""
    price, rollup = account.price, account.rollup
    return {
        "event": event_json(account.event),
        "window_start": account.event.hour,
        "standing": account.standing,
        "reason": account.reason,
        "advice": account.advice,
        "amount": account.amount,
        "charges": [
            {"kind": one.kind, "tokens": one.tokens, "rate": one.rate, "amount": one.amount}
            for one in account.charges
        ],
        "price": None if price is None else price_json(price),
        "rollup": None
        if rollup is None
        else {"id": rollup.id, **asdict(rollup.now), "run": asdict(rollup.run)},
        "parts": [str(part) for part in account.parts],
    }


def price_json(price: PriceOfEvent) -> dict[str, object]:
    """Give where the rates stand for programs."""
    told = price.price
    return {
        "price_book": price.price_book,
        "source": told.source,
        "derived_from": told.derived_from,
        "premium": None if told.premium is None else told.premium.describe(),
        "exact": asdict(told.exact),
        "billed": asdict(told.billed),
        "lines": [{"line": line.number, "text": line.text} for line in price.lines],
    }


def event_json(event: StoredEvent) -> dict[str, object]:
    """Give an event for programs; absent is null."""
    told = {
        name: _field_text(value) if isinstance(value, UUID | bytes) else value
        for name, value in event.row._asdict().items()
    }
    return {**told, "stored_at": event.stored_at}


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
