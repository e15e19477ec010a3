"""How a failed call reads: status, machine-readable reason, field."""

from typing import cast

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status


async def failure(call: object) -> tuple[grpc.StatusCode, str, str]:
    """Status, reason and field of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await cast("grpc.aio.UnaryUnaryCall[object, object]", call)
    status = rpc_status.from_call(cast("grpc.Call", _Trailing(raised.value)))
    assert status is not None
    info, bad_request = ErrorInfo(), BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
    assert info.domain == "phoebe"
    fields = [violation.field for violation in bad_request.field_violations]
    return raised.value.code(), info.reason, ",".join(fields)


class _Trailing:
    """An error of grpc.aio in the shape that grpc_status reads."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code
        self.details = error.details
        self.trailing_metadata = lambda: tuple(error.trailing_metadata())
