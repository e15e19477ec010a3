"""The part of YAML a price file is made of, as a tree that knows its lines.

Built from parse events rather than loaded, because loading forgets what a price file is checked for: the
line, whether a number was quoted, and a key that stands there twice. Anchors, aliases, merge keys and tags
are refused: a price must be readable where it stands, and none of them can then blow up the tree.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from rater_service.prices.faults import Fault, shown

# libyaml's parser is fourteen times as fast; PyYAML's own finds the same where libyaml was not built in.
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

# Those of YAML 1.1.
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
# A valid price file is four levels deep.
_DEPTH_MAX = 10
# A quarter of a million models; a file of the largest size could hold five times as many, and take minutes.
_NODES_MAX = 2_000_000


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as it is written, without its quotes. `line` counts from 1."""

    text: str
    quoted: bool
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping and its value. `line` is the key's, from 1."""

    key: str
    value: "Node"
    line: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the file, duplicates included."""

    entries: tuple[Entry, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list, in the order of the file."""

    items: tuple["Node", ...]
    line: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Something whose fault has been noted already."""

    line: int


type Node = Scalar | Mapping | Sequence | Refused


def last_line(node: Node) -> int:
    """Give the last line on which a node has a key or a value."""
    match node:
        case Mapping():
            return max((last_line(entry.value) for entry in node.entries), default=node.line)
        case Sequence():
            return max(map(last_line, node.items), default=node.line)
    return node.line


def read_tree(text: str, faults: list[Fault]) -> Node | None:
    """Read the one document in `text`, adding what is wrong with it to `faults`.

    Returns None, with at least one fault added, where the text is not YAML or holds no document.
    """
    reader = _TreeReader(text, faults)
    try:
        return reader.document()
    except yaml.MarkedYAMLError as error:
        faults.append(_syntax_fault(error, text))
    except yaml.reader.ReaderError as error:
        # The position is in bytes or in characters, as the parser likes; such a character is refused where it
        # stands first.
        refused = _code_point(error)
        line = text[: text.find(chr(refused))].count("\n") + 1
        faults.append(Fault(line, None, None, f"a control character (U+{refused:04X})"))
    except _BeyondLimitError as error:
        faults.append(Fault(error.line, None, None, error.message))
    except ValueError:
        # PyYAML's own parser reads an escape as a number, and asks for the character of any.
        message = "not YAML: an escape below names no character"
        faults.append(Fault(reader.line, None, None, message))
    return None


class _BeyondLimitError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(line, message)
        self.line = line
        self.message = message


class _TreeReader:
    def __init__(self, text: str, faults: list[Fault]) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._faults = faults
        self._nodes = 0
        self.line = 1

    def document(self) -> Node | None:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            self._fault(None, "the file is empty")
            return None
        root = self._node(next(self._events), depth=1)
        next(self._events)  # the document's end
        after = next(self._events)
        if isinstance(after, yaml.DocumentStartEvent):
            self._fault(_line(after), "a second document; a price file is one")
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        line = self.line = _line(event)
        if depth > _DEPTH_MAX:
            raise _BeyondLimitError(line, "nested too deep for a price file")
        self._nodes += 1
        if self._nodes > _NODES_MAX:
            raise _BeyondLimitError(line, f"more than {_NODES_MAX:,} keys and values are too many")
        if isinstance(event, yaml.AliasEvent):
            self._fault(line, f"an alias ({shown(str(event.anchor))}); write the value out")
            return Refused(line)
        assert isinstance(event, yaml.NodeEvent)
        self._refuse_properties(event, line)
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(event.value, event.style in ("'", '"'), line)
        if isinstance(event, yaml.MappingStartEvent):
            return Mapping(tuple(self._entries(depth)), line)
        return Sequence(tuple(self._items(depth)), line)

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> Iterator[Entry]:
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                self._fault(key.line, "a key that is not a single value")
            elif key.text == "<<" and not key.quoted:
                self._fault(key.line, "a merge key (<<); write the values out")
            else:
                yield Entry(key.text, value, key.line)

    def _refuse_properties(self, event: yaml.NodeEvent, line: int) -> None:
        if event.anchor is not None:
            self._fault(line, f"an anchor ({shown(event.anchor)}); leave it out")
        tag: str | None = getattr(event, "tag", None)
        if tag is not None:
            self._fault(line, f"a tag ({shown(tag)}); leave it out")

    def _fault(self, line: int | None, message: str) -> None:
        self._faults.append(Fault(line, None, None, message))


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None  # parsing marks every event
    return int(event.start_mark.line) + 1


def _syntax_fault(error: yaml.MarkedYAMLError, text: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    # libyaml counts the end of a last line that has no line break as one more line.
    last_line = len(_LINE_BREAK.findall(text)) + 1
    parts = (error.context, error.problem)
    message = ", ".join(part for part in parts if part)
    return Fault(min(int(mark.line) + 1, last_line) if mark else None, None, None, f"not YAML: {message}")


def _code_point(error: yaml.reader.ReaderError) -> int:
    character = error.character
    return character if isinstance(character, int) else ord(character)
