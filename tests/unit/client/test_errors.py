"""Failed calls as exceptions: by the reason that the service gives, else by the status."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from phoebe_client import (
    CallFailedError,
    InvalidRequestError,
    NoPriceBookError,
    NoPriceError,
    NotAllowedError,
    OperatorNeededError,
    PhoebeError,
    UnavailableError,
)
from phoebe_client.errors import error_of

C = grpc.StatusCode


def details(*messages: ErrorInfo | BadRequest) -> list[tuple[str, str | bytes]]:
    status = Status()
    for message in messages:
        packed = AnyMessage()
        packed.Pack(message)
        status.details.append(packed)
    return [("grpc-status-details-bin", status.SerializeToString())]


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (C.INVALID_ARGUMENT, "INVALID_WINDOW", InvalidRequestError),
        (C.NOT_FOUND, "NO_PRICE", NoPriceError),
        (C.NOT_FOUND, "FINE_TUNE_WITHOUT_BASE", NoPriceError),
        (C.NOT_FOUND, "BASE_NOT_PRICED", NoPriceError),
        (C.FAILED_PRECONDITION, "NO_PRICE_BOOK", NoPriceBookError),
        (C.FAILED_PRECONDITION, "OPERATOR_NEEDED", OperatorNeededError),
        (C.FAILED_PRECONDITION, "DATABASE_RIGHT_MISSING", OperatorNeededError),
        (C.UNAUTHENTICATED, "TOKEN_UNKNOWN", NotAllowedError),
        (C.PERMISSION_DENIED, "RIGHT_MISSING", NotAllowedError),
        (C.UNAVAILABLE, "DATABASE_UNAVAILABLE", UnavailableError),
        (C.INTERNAL, "INTERNAL", CallFailedError),
    ],
)
def test_the_reason_chooses_the_exception(code: C, reason: str, kind: type[PhoebeError]) -> None:
    violation = BadRequest.FieldViolation(field="window_end", description="…")
    info = ErrorInfo(reason=reason, domain="phoebe", metadata={"a": "b"})
    error = error_of(code, "m", details(info, BadRequest(field_violations=[violation])))
    assert type(error) is kind
    assert (error.code, error.reason, error.field, error.metadata) == (code, reason, "window_end", {"a": "b"})
    assert str(error) == f"{reason}: m"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (C.UNAVAILABLE, UnavailableError),
        (C.DEADLINE_EXCEEDED, UnavailableError),
        (C.UNKNOWN, CallFailedError),
    ],
)
@pytest.mark.parametrize(
    "trailing",
    [
        None,
        [],
        [("grpc-status-details-bin", b"\xff\xff")],
        [("grpc-status-details-bin", "text")],
        details(ErrorInfo(reason="NO_PRICE", domain="another.service")),
    ],
    ids=["none", "empty", "broken", "text", "of another service"],
)
def test_without_a_reason_of_the_rater_the_status_does(
    code: C, kind: type[PhoebeError], trailing: list[tuple[str, str | bytes]] | None
) -> None:
    error = error_of(code, None, trailing)
    assert type(error) is kind
    assert (error.reason, error.field) == ("", "")
    assert str(error) == f"{code.name}: the service gave no message"
