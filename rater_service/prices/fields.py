"""How the mappings of a price file are read: every key once, every key known, every fault with its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rater_service.prices.faults import Fault
from rater_service.prices.file_yaml import Entry, Mapping, Node, Refused
from rater_service.prices.values import BadValueError

_NAME_CHARS_MAX = 256  # what an event's model_id holds


@dataclass(frozen=True, slots=True)
class FieldPlace:
    """Where in the file something stands: the model, and the path of keys below it."""

    model: str | None = None
    field: str | None = None

    def member(self, key: str) -> "FieldPlace":
        """Return the place of a key below this one."""
        return FieldPlace(self.model, key if self.field is None else f"{self.field}.{key}")


class FieldReader:
    """Collects `faults` while it reads; what could not be read is None or left out."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, line: int | None, message: str, place: FieldPlace = FieldPlace()) -> None:
        """Note one thing that is wrong."""
        self.faults.append(Fault(line, place.model, place.field, message))

    def value[T](self, read: Callable[[Node], T], node: Node, place: FieldPlace) -> T | None:
        """Read a single value with one of the readers of values."""
        if isinstance(node, Refused):
            return None
        try:
            return read(node)
        except BadValueError as error:
            self.fault(node.line, str(error), place)
            return None

    def fields(
        self, node: Node, place: FieldPlace, required: Sequence[str], known: Sequence[str]
    ) -> dict[str, Node]:
        """Read a mapping whose keys are given by the format."""
        fields: dict[str, Node] = {}
        for entry in self._entries(node, place, place.member):
            if entry.key in known:
                fields[entry.key] = entry.value
            else:
                self.fault(
                    entry.line, f"unknown key; known here: {', '.join(known)}", place.member(entry.key)
                )
        if isinstance(node, Mapping):
            for name in required:
                if name not in fields:
                    self.fault(node.line, "is missing", place.member(name))
        return fields

    def named_entries(
        self, node: Node | None, place: FieldPlace, place_of: Callable[[str], FieldPlace]
    ) -> list[Entry]:
        """Read a mapping whose keys are names of models or devices."""
        if node is None:
            return []
        entries = self._entries(node, place, place_of)
        for entry in entries:
            if (message := _name_fault(entry.key)) is not None:
                self.fault(entry.line, message, place_of(entry.key))
        return entries

    def _entries(self, node: Node, place: FieldPlace, place_of: Callable[[str], FieldPlace]) -> list[Entry]:
        if not isinstance(node, Mapping):
            if not isinstance(node, Refused):
                self.fault(node.line, "must be a mapping of keys to values", place)
            return []
        first: dict[str, Entry] = {}
        for entry in node.entries:
            if entry.key in first:
                line = first[entry.key].line
                self.fault(entry.line, f"stands here again, first on line {line}", place_of(entry.key))
            else:
                first[entry.key] = entry
        return list(first.values())


def _name_fault(name: str) -> str | None:
    if not name:
        return "a name is empty"
    if len(name) > _NAME_CHARS_MAX:
        return f"a name is longer than {_NAME_CHARS_MAX} characters"
    if name != name.strip() or not name.isprintable():
        return "a name has spaces around it or unprintable characters in it"
    return None
