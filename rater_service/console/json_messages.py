"""Requests from the parameters of a URL, and answers and errors as JSON, by protobuf's own mapping.

That is the canonical one: names in lowerCamelCase, times as RFC 3339, 64-bit numbers as texts, because
programs that read JSON may round them. Parameters may also have the names that the contract has.
"""

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import cast

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from rater_service.service.rpc_errors import invalid

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}")
_NUMBERS = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64})
_BOOLS = {"true": True, "false": False}

# As google.rpc.Code says of each.
_HTTP_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}
_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def read_message[Request: Message](request: Request, parameters: Iterable[tuple[str, str]]) -> Request:
    """Fill a request's fields from parameters, each given once.

    Raises RpcError INVALID_ARGUMENT, INVALID_REQUEST, which names the parameter.
    """
    given: set[str] = set()
    for name, text in parameters:
        field = _field(request, name)
        if field.name in given:
            raise invalid(field.name, "is given more than once")
        given.add(field.name)
        try:
            ParseDict({field.name: _value(field, text)}, request)
        except (ParseError, ValueError, OverflowError):
            raise invalid(field.name, f"must be {_kind(field)}") from None
    return request


def message_json(message: Message) -> bytes:
    """Write an answer. Fields that hold their type's zero are there, too; absent messages are not."""
    told = MessageToDict(message, always_print_fields_with_no_presence=True)
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def error_json(status: Status, http: int | None = None) -> tuple[bytes, int]:
    """Write an error as Google's JSON APIs do, and give the status of HTTP for it.

    http: that status; None: the one of the error's code.
    """
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    if http is None:
        http = _HTTP_STATUSES.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
    details = MessageToDict(status).get("details", [])
    told = {"code": int(http), "message": status.message, "status": code.name, "details": details}
    return json.dumps({"error": told}, separators=(",", ":")).encode() + b"\n", int(http)


def _field(request: Message, name: str) -> FieldDescriptor:
    fields = request.DESCRIPTOR.fields
    for field in fields:
        if name in {field.name, field.json_name}:
            return cast("FieldDescriptor", field)
    known = ", ".join(field.name for field in fields)
    raise invalid("parameters", f"must be some of {known or 'none at all'}")


def _value(field: FieldDescriptor, text: str) -> object:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _BOOLS[text] if text in _BOOLS else _refuse()
    if field.cpp_type in _NUMBERS:
        return text if _WHOLE_NUMBER.fullmatch(text) else _refuse()
    return text


def _refuse() -> object:
    raise ValueError


def _kind(field: FieldDescriptor) -> str:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true or false"
    if field.cpp_type in _NUMBERS:
        bits = 32 if field.cpp_type == FieldDescriptor.CPPTYPE_INT32 else 64
        return f"a whole number of {bits} bits"
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return "a time like 2026-12-01T05:00:00Z"
    return "a text"
