"""What `--json` writes: one document on standard output, and messages as lines of JSON on standard error.

Every document says its kind, and the version of the shape that kinds have. The version changes when a member
goes, or means something else; a new member does not change it. The members of each kind are a TypedDict in
the view of its subject; `rater_service.cli.documents` lists all kinds, and the schemas in the reference are
made from them.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypedDict
from uuid import UUID

from rater_service.hours import utc_text
from rater_service.money import decimal_text
from rater_service.prices.faults import Fault

VERSION = 1

_as_json: ContextVar[bool] = ContextVar("messages as JSON", default=False)


@dataclass(frozen=True, slots=True)
class Kind[Members: Mapping[str, object]]:
    """A kind of document. members: the TypedDict of what it has beside `version` and `kind`."""

    name: str
    members: type[Members]


class MessageJson(TypedDict):
    """What else a person would be told."""

    message: str


class Failure(StrEnum):
    """Why a command failed."""

    USAGE = "usage"
    """The command line can't be followed."""
    PRICE_FILE = "price_file"
    """A price file has faults."""
    DATABASE = "database"
    """The database can't be used now, or refuses it."""
    OPERATOR = "operator"
    """Something else that an operator can mend; the message says how."""


class ErrorJson(TypedDict):
    """Why a command failed. faults: of a price file, each with its place; otherwise none."""

    failure: Failure
    message: str
    faults: Sequence[Fault]


MESSAGE = Kind("message", MessageJson)
ERROR = Kind("error", ErrorJson)


def write_json[Members: Mapping[str, object]](kind: Kind[Members], members: Members) -> None:
    """Write the result: decimals as strings with all their digits, times as RFC 3339 in UTC."""
    sys.stdout.write(f"{document_text(kind, members, indent=2)}\n")


def write_error[Members: Mapping[str, object]](kind: Kind[Members], members: Members) -> None:
    """Write a document in one line to standard error."""
    sys.stderr.write(f"{document_text(kind, members)}\n")


def document_text[Members: Mapping[str, object]](
    kind: Kind[Members], members: Members, indent: int | None = None
) -> str:
    """Return a document as text."""
    document = {"version": VERSION, "kind": kind.name, **members}
    return json.dumps(document, indent=indent, default=json_value)


@contextmanager
def messages_as_json(wanted: bool) -> Iterator[None]:
    """Have messages written as JSON, if that is wanted, until the end of the context."""
    before = _as_json.set(wanted)
    try:
        yield
    finally:
        _as_json.reset(before)


def messages_are_json() -> bool:
    """Tell whether messages are to be written as JSON."""
    return _as_json.get()


def json_value(value: object) -> object:
    """Return what stands for a value that JSON does not have. Raises TypeError."""
    match value:
        case Decimal():
            return decimal_text(value)
        case datetime():
            return utc_text(value)
        case UUID():
            return str(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")
