"""RateWindow on the wire."""

from datetime import datetime
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.events.producers import IncompleteProducer
from rater_service.hours import InvalidWindow
from rater_service.money import decimal_text
from rater_service.rating.run import (
    Anomaly,
    BillChange,
    Mode,
    Offender,
    RateRequest,
    RateResult,
    UnbilledOutput,
)
from rater_service.service.rpc_errors import invalid
from rater_service.wire_time import to_datetime, to_timestamp

MODES = {
    pb.RATE_MODE_UNSPECIFIED: Mode.ROUTINE,
    pb.RATE_MODE_ROUTINE: Mode.ROUTINE,
    pb.RATE_MODE_BACKFILL: Mode.BACKFILL,
}


def rate_request(request: pb.RateWindowRequest, requested_by: str) -> RateRequest:
    """Read the request. Raises InvalidWindow, and RpcError for a mode that is not known."""
    if request.mode not in MODES:
        raise invalid("mode", "is not a known RateMode")
    for field, given in (
        ("window_start", request.HasField("window_start")),
        ("window_end", request.HasField("window_end")),
    ):
        if not given:
            raise InvalidWindow(field, "is required")
    return RateRequest(
        window_start=_bound(request.window_start, "window_start"),
        window_end=_bound(request.window_end, "window_end"),
        mode=MODES[request.mode],
        dry_run=request.dry_run,
        reprice=request.reprice,
        requested_by=requested_by,
    )


def _bound(wire: Timestamp, field: str) -> datetime:
    try:
        moment = to_datetime(wire)
    except ValueError as error:
        raise InvalidWindow(field, f"is not a time: {error}") from error
    if wire.nanos:
        raise InvalidWindow(field, "must be a whole UTC hour")
    return moment


def rate_response(result: RateResult) -> pb.RateWindowResponse:
    """Write the answer."""
    return pb.RateWindowResponse(
        run_id=result.run_id,
        window_start=to_timestamp(result.window_start),
        window_end=to_timestamp(result.window_end),
        window_open=result.window_open,
        events_in_window=result.events_in_window,
        events_rated=result.events_rated,
        unpriced_events=result.unpriced_events,
        unattributable_events=result.unattributable_events,
        ambiguous_base_events=result.ambiguous_base_events,
        missing_usage_events=result.missing_usage_events,
        zero_charge_events=result.zero_charge_events,
        rollups_written=result.rollups_written,
        rollups_unchanged=result.rollups_unchanged,
        reconciled_deletions=result.reconciled_deletions,
        total_cost=decimal_text(result.total_cost),
        anomalies=[_anomaly(anomaly) for anomaly in result.anomalies],
        price_books=result.price_books,
        incomplete_producers=[_incomplete_producer(producer) for producer in result.incomplete_producers],
        incomplete_producer_count=result.incomplete_producer_count,
        change=_bill_change(result.changes.total),
        changes_by_auth=[_bill_change(change) for change in result.changes.by_auth],
        changed_auth_count=result.changes.auth_ids,
        requested_by=result.requested_by,
        knowledge_at=to_timestamp(result.knowledge_at),
        finished_at=to_timestamp(result.finished_at),
        late_runs=[rate_response(late) for late in result.late_runs],
        unbilled_output_events=result.unbilled_output_events,
        unbilled_output_bytes=result.unbilled_output_bytes,
        unbilled_output_by_auth=[_unbilled_output(customer) for customer in result.unbilled_output_by_auth],
        unbilled_output_auth_count=result.unbilled_output_auth_count,
    )


def _unbilled_output(customer: UnbilledOutput) -> pb.UnbilledOutput:
    return pb.UnbilledOutput(
        auth_id=customer.auth_id or "",
        events=customer.events,
        answer_bytes=customer.answer_bytes,
        resource_id=customer.resource_id or "",
    )


def _bill_change(change: BillChange) -> pb.BillChange:
    return pb.BillChange(
        auth_id=change.auth_id or "",
        rollups_inserted=change.rollups_inserted,
        rollups_updated=change.rollups_updated,
        rollups_deleted=change.rollups_deleted,
        cost_before=decimal_text(change.cost_before),
        cost_after=decimal_text(change.cost_after),
        difference=decimal_text(change.difference),
    )


def _incomplete_producer(producer: IncompleteProducer) -> pb.IncompleteProducer:
    until = producer.complete_until
    return pb.IncompleteProducer(
        producer_id=producer.producer_id,
        complete_until=None if until is None else to_timestamp(until),
        spooled_events=producer.spooled_events,
        open_exchanges=producer.open_exchanges,
        last_seen=to_timestamp(producer.last_seen),
        name=producer.name or "",
    )


def _anomaly(anomaly: Anomaly) -> pb.Anomaly:
    return pb.Anomaly(
        reason=anomaly.reason,
        events=anomaly.events,
        tokens=anomaly.tokens,
        money_at_risk=_money(anomaly.money_at_risk),
        offenders=[_offender(offender) for offender in anomaly.offenders],
        hours=anomaly.hours,
        first_hour=to_timestamp(anomaly.first_hour),
        last_hour=to_timestamp(anomaly.last_hour),
        advice=anomaly.advice,
    )


def _offender(offender: Offender) -> pb.Offender:
    return pb.Offender(
        auth_id=offender.auth_id or "",
        resource_id=offender.resource_id or "",
        model_id=offender.model_id or "",
        base_model=offender.base_model or "",
        events=offender.events,
        tokens=offender.tokens,
        money_at_risk=_money(offender.money_at_risk),
        detail=offender.detail or "",
    )


def _money(amount: Decimal | None) -> str:
    return "" if amount is None else decimal_text(amount)
