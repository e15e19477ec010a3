"""How the RPCs fail: a status with google.rpc.ErrorInfo, so that programs need not read the message."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import wraps
from typing import Never

import asyncpg
import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from phoebe_runtime.log_lines import told
from rater_service.database.database import UNAVAILABLE_ERRORS
from rater_service.database.sessions import reason
from rater_service.errors import NoPriceBookError, OperatorError

logger = logging.getLogger(__name__)

DOMAIN = "phoebe"


class RpcError(Exception):
    """An expected failure of a call.

    `reason` is the machine-readable word for it, in capitals; `field` the request's field that is wrong, if
    one is; `metadata` what a program may want to know of it, by name.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        field: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.field = field
        self.metadata = metadata or {}


def invalid(field: str, fault: str, reason: str = "INVALID_REQUEST") -> RpcError:
    """Make the error for a field of the request that breaks a rule."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, reason, f"{field} {fault}", field)


@asynccontextmanager
async def answered_errors[Request, Response](
    context: grpc.aio.ServicerContext[Request, Response],
    until_mended: grpc.StatusCode = grpc.StatusCode.FAILED_PRECONDITION,
) -> AsyncIterator[None]:
    """End the call with the right status when its code raises; what nobody expected is logged, not told.

    until_mended: the status of what only an operator can mend.
    """
    try:
        yield
    except Exception as error:
        await abort(context, _answer_to(error, until_mended))


def _answer_to(error: Exception, until_mended: grpc.StatusCode) -> RpcError:
    """Log what went wrong, unless it is the caller's, and give what the caller is told."""
    match error:
        case RpcError():
            return error
        case NoPriceBookError():
            return RpcError(grpc.StatusCode.FAILED_PRECONDITION, "NO_PRICE_BOOK", str(error))
        case asyncpg.InsufficientPrivilegeError():
            lacking = f"the service's role lacks a right in the database: {reason(error)}"
            logger.error("%s", lacking, extra=told("a right is missing"))
            return RpcError(until_mended, "DATABASE_RIGHT_MISSING", lacking)
        case _ if isinstance(error, UNAVAILABLE_ERRORS):
            # The watch of the database says when that begins and ends.
            logger.error(
                "a call failed: the database can't be used: %s", reason(error), extra=told("unavailable")
            )
            return RpcError(
                grpc.StatusCode.UNAVAILABLE,
                "DATABASE_UNAVAILABLE",
                "the database can't be used now; try again later",
            )
        case OperatorError():
            logger.error("calls can't be answered until this is mended: %s", error)
            return RpcError(until_mended, "OPERATOR_NEEDED", str(error))
        case _:
            same = (type(error), str(error))
            logger.error("a call failed in an unexpected way", exc_info=error, extra=told(same))
            return RpcError(
                grpc.StatusCode.INTERNAL,
                "INTERNAL",
                "an unexpected error, described in the log of the service",
            )


async def abort[Request, Response](
    context: grpc.aio.ServicerContext[Request, Response], error: RpcError
) -> Never:
    """End the call with the status and the details of the error."""
    status = rpc_status.to_status(status_of(error))
    # It takes the place of what was set before: which version answers.
    told = (*context.trailing_metadata(), *status.trailing_metadata)
    await context.abort(status.code, status.details, told)


class NoCallersGone(logging.Filter):
    """Leaves out of gRPC's log the calls whose caller, or gRPC itself, ended them before the answer.

    They are no errors of the service, and callers must not be able to fill a disk with tracebacks.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to log it."""
        return not (record.exc_info and isinstance(record.exc_info[1], grpc.aio.InternalError))


def quiet_about_callers_gone() -> None:
    """Put the filter where gRPC logs."""
    logging.getLogger("grpc._cython.cygrpc").addFilter(_NO_CALLERS_GONE)


_NO_CALLERS_GONE = NoCallersGone()


def answering_errors[Service, Request, Response](
    method: Callable[[Service, Request, grpc.aio.ServicerContext[Request, Response]], Awaitable[Response]],
) -> Callable[[Service, Request, grpc.aio.ServicerContext[Request, Response]], Awaitable[Response]]:
    """Decorate a method that answers one request with one response; see `answered_errors`."""

    @wraps(method)
    async def answering(
        service: Service, request: Request, context: grpc.aio.ServicerContext[Request, Response]
    ) -> Response:
        try:
            return await method(service, request, context)
        except Exception as error:
            await abort(context, _answer_to(error, grpc.StatusCode.FAILED_PRECONDITION))

    return answering


def status_of(error: RpcError) -> Status:
    """Make the status with its details that a caller gets."""
    status = Status(code=error.code.value[0], message=error.message)
    status.details.append(_packed(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)))
    if error.field is not None:
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        status.details.append(_packed(BadRequest(field_violations=[violation])))
    return status


def _packed(detail: ErrorInfo | BadRequest) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
