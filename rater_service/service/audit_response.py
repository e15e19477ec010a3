"""The audit on the wire."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.audit.audit import AuditRequest
from rater_service.audit.findings import AuditedProducer, AuditResult
from rater_service.events.validation import TEXT_LENGTH_MAX
from rater_service.hours import InvalidWindow
from rater_service.money import decimal_text
from rater_service.service.rpc_errors import invalid
from rater_service.wire_time import to_datetime, to_timestamp

# Numbers that many producers claim may add up to more than the field holds.
_COUNT_MAX = 2**63 - 1


def audit_request(request: pb.AuditRequest) -> AuditRequest:
    """Read the request. Raises InvalidWindow, and RpcError for a producer_id that can't be one."""
    length_max = TEXT_LENGTH_MAX["producer_id"]
    if len(request.producer_id) > length_max or "\0" in request.producer_id:
        raise invalid("producer_id", f"must be at most {length_max} characters, without NUL")
    return AuditRequest(
        window_start=_bound(request.window_start, "window_start")
        if request.HasField("window_start")
        else None,
        window_end=_bound(request.window_end, "window_end") if request.HasField("window_end") else None,
        producer_id=request.producer_id or None,
    )


def _bound(wire: Timestamp, field: str) -> datetime:
    try:
        return to_datetime(wire)
    except ValueError as error:
        raise InvalidWindow(field, f"is not a time: {error}") from error


def audit_response(result: AuditResult) -> pb.AuditResponse:
    """Write the answer."""
    found = result.findings
    return pb.AuditResponse(
        proven=result.proven,
        audited_at=to_timestamp(result.audited_at),
        window_start=_timestamp(result.window_start),
        window_end=_timestamp(result.window_end),
        events=found.events,
        unnumbered_events=found.unnumbered_events,
        part_events=found.part_events,
        rollups=found.rollups,
        billed_events=found.billed_events,
        total_cost=decimal_text(found.total_cost),
        runs=found.runs,
        late_events=found.late_events,
        unrated_hours=found.unrated_hours,
        pruned_events=found.pruned_events,
        archived_events=found.archived_events,
        producers=[_producer(producer) for producer in found.producers],
        producer_count=found.producer_count,
        differences=[
            pb.AuditDifference(
                kind=difference.kind,
                subject=difference.subject,
                detail=difference.detail,
                advice=difference.advice,
            )
            for difference in found.differences
        ],
        difference_counts=[
            pb.AuditDifferenceCount(kind=kind, count=min(count, _COUNT_MAX))
            for kind, count in found.difference_counts.items()
        ],
    )


def _producer(producer: AuditedProducer) -> pb.AuditedProducer:
    return pb.AuditedProducer(
        producer_id=producer.producer_id,
        first_seq=producer.first_seq,
        last_seq=producer.last_seq,
        stored=producer.stored,
        rejected=producer.rejected,
        spooled=producer.spooled,
        lost=producer.lost,
        repeated=producer.repeated,
        open_exchanges=producer.open_exchanges,
        lost_rows=producer.lost_rows,
        complete_until=_timestamp(producer.complete_until),
        last_seen=_timestamp(producer.last_seen),
        stopped=producer.stopped,
        retired=producer.retired,
        pruned=producer.pruned,
        name=producer.name or "",
        version=producer.version or "",
    )


def _timestamp(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else to_timestamp(moment)
