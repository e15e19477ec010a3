"""GetEvent, ListEvents and ListRuns on the wire."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from phoebe_proto.v1 import metering_pb2
from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.bills.event import EventAccount, PriceOfEvent, StoredEvent
from rater_service.bills.runs import KeptRun
from rater_service.money import decimal_text
from rater_service.rating.run import BillChange, BillChanges, Mode, RateResult
from rater_service.rollup import Charge
from rater_service.service.rating_response import MODES, rate_response
from rater_service.wire_time import to_timestamp

_MODES = {mode: wire for wire, mode in MODES.items() if wire != pb.RATE_MODE_UNSPECIFIED}
_NOTHING = BillChange(None, 0, 0, 0, Decimal(0), Decimal(0), Decimal(0))


def event_message(event: StoredEvent) -> pb.StoredEvent:
    """Write an event as its sender said it; what is NULL is absent."""
    told = {name: _on_wire(value) for name, value in event.row._asdict().items() if value is not None}
    return pb.StoredEvent(
        event=metering_pb2.MeteringEvent(**told),  # type: ignore[arg-type] # columns have the fields' names
        stored_at=to_timestamp(event.stored_at),
    )


def account_message(account: EventAccount) -> pb.GetEventResponse:
    """Write what became of an event."""
    rollup = account.rollup
    return pb.GetEventResponse(
        event=event_message(account.event),
        standing=pb.EventStanding.Value(f"EVENT_STANDING_{account.standing}"),
        reason=account.reason or "",
        advice=account.advice or "",
        window_start=to_timestamp(account.event.hour),
        amount="" if account.amount is None else decimal_text(account.amount),
        charges=[_charge(charge) for charge in account.charges],
        price=None if account.price is None else _price(account.price),
        rollup=0 if rollup is None else rollup.id,
        rollup_cost="" if rollup is None else decimal_text(rollup.now.cost),
        run=0 if rollup is None else rollup.run.id,
        parts=[str(part) for part in account.parts],
    )


def run_message(run: KeptRun) -> pb.Run:
    """Write a run that is kept."""
    kept = {name: getattr(run, name) for name in RateResult.__slots__ if hasattr(run, name)}
    answer = rate_response(RateResult(run_id=run.id, changes=BillChanges(_NOTHING, (), 0), **kept))
    answer.ClearField("change")
    return pb.Run(
        mode=_MODES[Mode(run.mode)],
        dry_run=run.dry_run,
        reprice=run.reprice,
        started_at=to_timestamp(run.started_at),
        answer=answer,
    )


def _on_wire(value: object) -> object:
    if isinstance(value, datetime):
        return to_timestamp(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, UUID) else value


def _charge(charge: Charge) -> pb.Charge:
    return pb.Charge(
        kind=charge.kind,
        tokens=charge.tokens,
        rate=decimal_text(charge.rate),
        amount=decimal_text(charge.amount),
    )


def _price(price: PriceOfEvent) -> pb.EventPrice:
    told = price.price
    return pb.EventPrice(
        price_book=price.price_book,
        source=pb.PriceSource.Value(f"PRICE_SOURCE_{told.source}"),
        derived_from=told.derived_from or "",
        premium=told.premium.describe() if told.premium else "",
        lines=[pb.PriceLine(line=line.number, text=line.text) for line in price.lines],
        loading=price.loading.number,
        file=price.loading.source,
    )
