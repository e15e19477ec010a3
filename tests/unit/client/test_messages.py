"""Python's types to and from the wire: no field of a message is left behind."""

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_client import events, messages, results
from phoebe_client.results import Audit, Price, PriceSource, RatedUsage, RateMode, Run
from phoebe_proto.v1 import metering_pb2
from phoebe_proto.v1 import rating_pb2 as pb

AT = datetime(2026, 11, 29, 10, tzinfo=UTC)
KINDS = {
    results.Offender: pb.Offender,
    results.Anomaly: pb.Anomaly,
    results.IncompleteProducer: pb.IncompleteProducer,
    results.BillChange: pb.BillChange,
    results.UnbilledOutput: pb.UnbilledOutput,
    Run: pb.RateWindowResponse,
    Price: pb.ResolvePriceResponse,
    RatedUsage: pb.RatedUsage,
    results.AuditedProducer: pb.AuditedProducer,
    results.AuditDifference: pb.AuditDifference,
    results.AuditDifferenceCount: pb.AuditDifferenceCount,
    Audit: pb.AuditResponse,
    results.KeptRun: pb.Run,
    events.Event: metering_pb2.MeteringEvent,
    events.StoredEvent: pb.StoredEvent,
    events.Charge: pb.Charge,
    events.PriceLine: pb.PriceLine,
    events.EventPrice: pb.EventPrice,
    events.EventBill: pb.GetEventResponse,
}

WORDS = {RateMode: pb.RateMode, PriceSource: pb.PriceSource, events.EventStanding: pb.EventStanding}


@pytest.mark.parametrize(("kind", "message"), KINDS.items(), ids=lambda each: each.__name__)
def test_a_result_has_every_field_of_its_message(kind: type, message: type) -> None:
    of_message = [field.name for field in message.DESCRIPTOR.fields]  # type: ignore[attr-defined]
    assert [field.name for field in dataclasses.fields(kind)] == of_message


def test_every_result_is_one_of_these() -> None:
    named = {**vars(results), **vars(events)}.values()
    assert {each for each in named if dataclasses.is_dataclass(each)} == KINDS.keys()


@pytest.mark.parametrize(("here", "wire"), WORDS.items(), ids=[each.__name__ for each in WORDS])
def test_the_words_are_those_of_the_wire(here: type[results.Word], wire: object) -> None:
    numbers = {value.number for value in wire.DESCRIPTOR.values}  # type: ignore[attr-defined]
    assert {int(each) for each in here} == numbers


def test_a_price_source_of_a_later_service_is_unknown() -> None:
    assert PriceSource(99) is PriceSource.UNKNOWN


def test_what_is_empty_on_the_wire_is_none() -> None:
    offender = messages.read(results.Offender, pb.Offender(events=3))
    assert offender == results.Offender(None, None, None, None, 3, 0, None, None)


def test_money_is_exact_and_times_are_utc() -> None:
    wire = Timestamp()
    wire.FromDatetime(AT)
    anomaly = messages.read(
        results.Anomaly,
        pb.Anomaly(reason="UNPRICED", money_at_risk="12345678901234567890.123456789", first_hour=wire),
    )
    assert anomaly.money_at_risk == Decimal("12345678901234567890.123456789")
    assert (anomaly.first_hour, anomaly.last_hour, anomaly.offenders) == (AT, None, ())


def test_runs_within_a_run_are_read_as_runs() -> None:
    late = pb.RateWindowResponse(run_id=7, total_cost="0")
    answer = pb.RateWindowResponse(run_id=8, total_cost="1.5", price_books=["a"], late_runs=[late])
    run = messages.read(Run, answer)
    assert [(each.run_id, each.total_cost) for each in (run, *run.late_runs)] == [
        (8, Decimal("1.5")),
        (7, Decimal(0)),
    ]
    assert run.price_books == ("a",)
    assert run.change is None


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="window_start has no time zone"):
        messages.timestamp("window_start", AT.replace(tzinfo=None))
    assert messages.timestamp("at", None) is None
