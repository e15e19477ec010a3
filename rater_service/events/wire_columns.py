"""The fields of many events, each field as a column, read by protobuf's own parser.

Messages one behind the other are the message that they make together: of a field that is said several times
the last value counts, and where the field is a list all of them count. So events that are written one behind
the other, and read as a message whose fields are lists, give columns. All of it is done in C, while to ask
each event for each field makes as many calls as there are values.

A column with as many values as there are events has them in their order, since one event says a field once.
One without any value is that of a field that no event has. Of all others the events are asked.
"""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter, methodcaller
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from phoebe_proto.v1.metering_pb2 import MeteringEvent

_FIELDS = MeteringEvent.DESCRIPTOR.fields_by_name
_TIMES = tuple(name for name, field in _FIELDS.items() if field.message_type)
_FIELD_NUMBERS = frozenset(field.number for field in _FIELDS.values())
_PACKAGE = "phoebe.columns"


class WireColumns:
    """The fields of some events, of which there is one at least."""

    def __init__(self, events: Sequence[MeteringEvent]) -> None:
        self._events = events
        self._count = len(events)
        self._lists = _read_lists(events)

    def texts(self, name: str) -> Sequence[str]:
        """A column of texts, "" for none."""
        return self._values(name, attrgetter(name), "")

    def numbers(self, name: str) -> Sequence[int]:
        """A column of numbers or flags that are always there; 0 or False if an event does not say them."""
        return self._values(name, attrgetter(name), _FIELDS[name].default_value)

    def reported(self, name: str) -> Sequence[int | None]:
        """A column of numbers of which each may be absent (None)."""
        if self._lists is None or len(given := getattr(self._lists, name)) not in (0, self._count):
            return [getattr(event, name) if event.HasField(name) else None for event in self._events]  # type: ignore[arg-type] # it is a name of the contract
        return given[:] or [None] * self._count

    def seconds(self, name: str) -> Sequence[int]:
        """The whole seconds of a column of times, 0 for none."""
        return self._values(f"{name}.seconds", attrgetter(f"{name}.seconds"), 0)

    def nanos(self, name: str) -> Sequence[int]:
        """What its times have besides, in nanoseconds; 0 for none."""
        return self._values(f"{name}.nanos", attrgetter(f"{name}.nanos"), 0)

    def are_given(self, name: str) -> Sequence[bool]:
        """Whether each event has a time of this name."""
        return list(map(methodcaller("HasField", name), self._events))

    def _values[T](self, name: str, of_event: Callable[[MeteringEvent], T], absent: T) -> Sequence[T]:
        if self._lists is None or len(given := attrgetter(name)(self._lists)) not in (0, self._count):
            return list(map(of_event, self._events))
        values: Sequence[T] = given[:]
        return values or [absent] * self._count


def _read_lists(events: Sequence[MeteringEvent]) -> Any:
    """Read all events as one message of lists; None: the lists might have what is no value of an event."""
    together = b"".join(map(MeteringEvent.SerializeToString, events))
    event = MeteringEvent.FromString(together)
    # What came in another form than a field has is not known to an event, but may be to a list. It stays
    # unknown when events are put together. Fields of later versions are not among the lists.
    if any(unknown.field_number in _FIELD_NUMBERS for unknown in _unknown(event)) or any(
        any(_unknown(getattr(event, name))) for name in _TIMES
    ):
        return None
    return _EventLists.FromString(together)


def _unknown(message: Message) -> Iterator[Any]:
    return iter(UnknownFieldSet(message))


def _make_event_lists() -> type[Message]:
    """Make the message that has a list for each field of an event, under the same number."""
    file = FileDescriptorProto(name="phoebe/columns.proto", package=_PACKAGE, syntax="proto3")
    times = file.message_type.add(name="Times")
    for field in Timestamp.DESCRIPTOR.fields:
        _add_list(times.field.add(), field)
    lists = file.message_type.add(name="EventLists")
    for name, field in _FIELDS.items():
        if name in _TIMES:
            lists.field.add(
                name=name,
                number=field.number,
                label=FieldDescriptorProto.LABEL_OPTIONAL,
                type=FieldDescriptorProto.TYPE_MESSAGE,
                type_name=f".{_PACKAGE}.Times",
            )
        else:
            _add_list(lists.field.add(), field)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.EventLists"))


def _add_list(made: FieldDescriptorProto, field: Any) -> None:
    made.name, made.number, made.type = field.name, field.number, field.type
    made.label = FieldDescriptorProto.LABEL_REPEATED


_EventLists = _make_event_lists()
