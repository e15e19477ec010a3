"""What calls raise, made from the google.rpc.ErrorInfo that the service sends with every error of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

_DETAILS = "grpc-status-details-bin"
_DOMAIN = "phoebe"


class PhoebeError(Exception):
    """A call that failed.

    message: for a human. reason: the word for programs, as the proto lists them with each method
    ("NO_PRICE"); empty when gRPC itself ended the call. code: gRPC's status. field: the field of the request
    that is wrong; empty when it is not one. metadata: further facts by name.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        field: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}" if reason else f"{code.name}: {message}")
        self.message = message
        self.code = code
        self.reason = reason
        self.field = field
        self.metadata = dict(metadata or {})


class InvalidRequestError(PhoebeError):
    """The request breaks a rule, and will whenever it is sent: reason INVALID_WINDOW, INVALID_REQUEST,
    INVALID_PAGE_TOKEN or UNREADABLE_MESSAGE.
    """


class NoPriceError(PhoebeError):
    """The model has no price at that moment: reason NO_PRICE, FINE_TUNE_WITHOUT_BASE or BASE_NOT_PRICED."""


class NoSuchEventError(PhoebeError):
    """No event with this id is stored: it may have been pruned, or wait in the spool of a producer."""


class NoPriceBookError(PhoebeError):
    """No price file was ever loaded into the rater."""


class NotAllowedError(PhoebeError):
    """The token or certificate is missing, not known, or has no right to this method."""


class OperatorNeededError(PhoebeError):
    """Nothing happened, and the message says what an operator has to mend: reason OPERATOR_NEEDED or
    DATABASE_RIGHT_MISSING.
    """


class UnavailableError(PhoebeError):
    """The service or its database could not be reached, also after the client's own attempts, or the time was
    over. Whether the call was carried out is not known; to call again is safe.
    """


class CallFailedError(PhoebeError):
    """Anything else; reason INTERNAL is a fault of the service, described in its log."""


_BY_REASON: Mapping[str, type[PhoebeError]] = {
    "NO_PRICE": NoPriceError,
    "FINE_TUNE_WITHOUT_BASE": NoPriceError,
    "BASE_NOT_PRICED": NoPriceError,
    "NO_PRICE_BOOK": NoPriceBookError,
    "NO_SUCH_EVENT": NoSuchEventError,
    "OPERATOR_NEEDED": OperatorNeededError,
    "DATABASE_RIGHT_MISSING": OperatorNeededError,
}
_BY_CODE: Mapping[grpc.StatusCode, type[PhoebeError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.UNAUTHENTICATED: NotAllowedError,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
}


def error_of(code: grpc.StatusCode, message: str | None, trailing: Iterable[Any] | None) -> PhoebeError:
    """Make the exception of a call that ended with this status and these trailing metadata, pairs of name and
    value.
    """
    info, bad_request = ErrorInfo(), BadRequest()
    for detail in _details(dict(trailing or ())).details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
    reason = info.reason if info.domain == _DOMAIN else ""
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, CallFailedError)
    fields = [violation.field for violation in bad_request.field_violations]
    return kind(
        message or "the service gave no message",
        code=code,
        reason=reason,
        field=fields[0] if fields else "",
        metadata=info.metadata,
    )


def _details(trailing: Mapping[str, str | bytes]) -> Status:
    value = trailing.get(_DETAILS)
    try:
        return Status.FromString(value) if isinstance(value, bytes) else Status()
    except DecodeError:
        # Something between us and the service made them. Code and message say enough.
        return Status()
