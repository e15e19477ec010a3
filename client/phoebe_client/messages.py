"""Python's types to and from the messages of the wire contract."""

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from functools import cache
from typing import Any, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def read[Result](kind: type[Result], message: Message) -> Result:
    """Make a result of the message whose fields it has."""
    return kind(**{name: value_of(message, name) for name, value_of in _readers(cast("Any", kind))})


def timestamp(name: str, moment: datetime | None) -> Timestamp | None:
    """Make the wire's time. Raises ValueError for a time without a zone, which could be any."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no time zone: give one, for instance datetime(…, tzinfo=UTC)")
    wire = Timestamp()
    wire.FromDatetime(moment)
    return wire


@cache
def _readers(kind: Any) -> tuple[tuple[str, Callable[[Message, str], object]], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, _reader(hints[field.name])) for field in fields(kind))


def _reader(wanted: Any) -> Callable[[Message, str], object]:
    if get_origin(wanted) is tuple:
        convert = _converter(get_args(wanted)[0])
        return lambda message, name: tuple(convert(each) for each in getattr(message, name))
    if isinstance(wanted, types.UnionType):
        (known,) = (each for each in get_args(wanted) if each is not types.NoneType)
        convert = _converter(known)
        return lambda message, name: convert(getattr(message, name)) if _is_there(message, name) else None
    convert = _converter(wanted)
    return lambda message, name: convert(getattr(message, name))


def _is_there(message: Message, name: str) -> bool:
    if message.DESCRIPTOR.fields_by_name[name].has_presence:
        return message.HasField(name)
    return bool(getattr(message, name) != "")


def _converter(wanted: Any) -> Callable[[Any], object]:
    if wanted is datetime:
        return lambda wire: wire.ToDatetime(tzinfo=UTC)
    if isinstance(wanted, type) and is_dataclass(wanted):
        return lambda message: read(wanted, message)
    if wanted is Decimal or issubclass(wanted, IntEnum):
        convert: Callable[[Any], object] = wanted
        return convert
    return lambda value: value
