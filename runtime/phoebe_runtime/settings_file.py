"""The file of settings, such as phoebe.yaml: a section for each part of Phoebe, with a value for each key.

    rater:
      listen: 0.0.0.0:50051
    addon:
      upstream: upstreams.yaml
      models: [a, b]

Values are kept as texts, as a variable of the environment would give them, with their lines. A part reads its
own section and refuses keys that it does not know; of the other sections it knows only the names.

The addon and the rater each have this module, because neither imports the other.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from phoebe_runtime.near_names import nearest

VARIABLE = "PHOEBE_CONFIG"
"""The variable of the environment that names the file."""
SECTIONS = ("rater", "addon", "proxy")
# Nobody writes as much by hand, and a parser of YAML takes its time.
_BYTES_MAX = 1_000_000
_NULL = "tag:yaml.org,2002:null"
_PASSWORD_IN_URL = re.compile(r"(://[^/\s:@]*):\S*@")
_PASSWORD_PARAMETER = re.compile(r"(password=)[^&\s]+", re.IGNORECASE)


class SettingsFileError(ValueError):
    """A file of settings can't be used. The message names all that is wrong, with its line."""


@dataclass(frozen=True, slots=True)
class FileValue:
    """What a key has. texts: one, or those of a list. line: of the key, from 1."""

    texts: tuple[str, ...]
    is_list: bool
    line: int


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The sections that a part asked for, by their names. path: of the file."""

    path: Path
    sections: Mapping[str, Mapping[str, FileValue]]


def read_settings_file(path: Path, known: Mapping[str, Collection[str]]) -> SettingsFile:
    """Read a file. known: the keys that there are in the sections that are asked for.

    Raises SettingsFileError.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
        if len(content) > _BYTES_MAX:
            raise SettingsFileError(f"{path}: is larger than {_BYTES_MAX:,} bytes")
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsFileError(f"{path}: the settings can't be read: {reason}") from error
    return SettingsFile(path, parse_settings(text, str(path), known))


def parse_settings(
    text: str, source: str, known: Mapping[str, Collection[str]]
) -> dict[str, dict[str, FileValue]]:
    """Read the text of a file; see `read_settings_file`. source: what messages call it."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsFileError(f"{source}: is no YAML: {' '.join(str(error).split())}") from error
    reader = _Reader(known)
    sections = reader.sections(root)
    if reader.faults:
        raise SettingsFileError("; ".join(f"{source}, {fault}" for fault in reader.faults))
    return sections


def without_passwords(text: str) -> str:
    """Hide the passwords of URLs, for people to read."""
    return _PASSWORD_PARAMETER.sub(r"\1***", _PASSWORD_IN_URL.sub(r"\1:***@", text))


class _Reader:
    """Reads the nodes of a file, and gathers what is wrong with them."""

    def __init__(self, known: Mapping[str, Collection[str]]) -> None:
        self._known = known
        self.faults: list[str] = []

    def sections(self, root: yaml.Node | None) -> dict[str, dict[str, FileValue]]:
        found: dict[str, dict[str, FileValue]] = {name: {} for name in self._known}
        if root is None:
            return found
        for name, line, node in self._pairs(root, "the file", SECTIONS, "section"):
            if name in found:
                found[name] = self._section(name, node)
            elif not isinstance(node, yaml.MappingNode) and node.tag != _NULL:
                self._note(line, f"the section {name} does not have keys and values")
        return found

    def _section(self, name: str, node: yaml.Node) -> dict[str, FileValue]:
        values: dict[str, FileValue] = {}
        if node.tag == _NULL:
            return values
        for key, line, value in self._pairs(node, f"the section {name}", self._known[name], "key"):
            texts = self._texts(key, line, value)
            if texts is not None:
                values[key] = FileValue(texts, isinstance(value, yaml.SequenceNode), line)
        return values

    def _pairs(
        self, node: yaml.Node, place: str, known: Collection[str], what: str
    ) -> Iterator[tuple[str, int, yaml.Node]]:
        """Give the known names of a mapping, each once, with the line and the node behind it."""
        if not isinstance(node, yaml.MappingNode):
            self._note(_line(node), f"{place} does not have keys and values")
            return
        seen: set[str] = set()
        for name_node, value in node.value:
            name, line = str(name_node.value), _line(name_node)
            if name in seen:
                self._note(line, f"the {what} {name} is there twice")
            elif name in known:
                yield name, line, value
            else:
                meant = nearest(name, known)
                asked = f"; did you mean {meant}?" if meant else ""
                self._note(line, f"there is no {what} {name}{asked}")
            seen.add(name)

    def _texts(self, key: str, line: int, node: yaml.Node) -> tuple[str, ...] | None:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(each, yaml.ScalarNode) for each in nodes):
            self._note(line, f"{key} is neither a value nor a list of values")
        elif any(not each.value.strip() or each.tag == _NULL for each in nodes):
            self._note(line, f"{key} has no value: give one, or leave it out")
        else:
            return tuple(str(each.value) for each in nodes)
        return None

    def _note(self, line: int, fault: str) -> None:
        self.faults.append(f"line {line}: {fault}")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
