"""Taking out of an answer what the client did not ask for but Phoebe did, and no other byte."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from phoebe_addon.answer.document import parse
from phoebe_addon.answer.reader import ChunkUsage
from phoebe_addon.apis.family import TakeOut, UsageSwitch
from phoebe_addon.formats.json_members import changes_without, document_members, replaced
from phoebe_addon.formats.json_skimmer import JsonSkimmer, MemberSpan
from phoebe_addon.formats.json_wanted import Wanted

_DATA_LINE = re.compile(rb"(data)(?:(: ?)[^\r\n]*)?([\r\n]*)")

_LEFT_IN: dict[ChunkUsage, frozenset[TakeOut]] = {
    ChunkUsage.NONE: frozenset({TakeOut.CHUNK, TakeOut.RUNNING}),
    # Phoebe asked for the final usage only. Running usage comes unasked, so it stays. Zeros come only because
    # Phoebe asked, so they are removed.
    ChunkUsage.PLACEHOLDER: frozenset(),
    ChunkUsage.RUNNING: frozenset({TakeOut.CHUNK}),
    ChunkUsage.FINAL: frozenset({TakeOut.CHUNK, TakeOut.RUNNING}),
}
"""What is not taken out of a chunk that stays, by the usage it carries."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What is taken out of an object by name, and what becomes null."""

    removed: frozenset[str]
    nulled: frozenset[str]

    def __bool__(self) -> bool:
        """Whether it is anything."""
        return bool(self.removed or self.nulled)

    @property
    def only_name(self) -> bytes | None:
        """The name of the one member that is taken out, if that is all."""
        return next(iter(self.removed)).encode() if len(self.removed) == 1 and not self.nulled else None


def edit_of(switches: Iterable[UsageSwitch]) -> Edit:
    """Say what is taken out of a document, and what becomes null."""
    removed: set[str] = set()
    nulled: set[str] = set()
    for switch in switches:
        (nulled if switch.take_out is TakeOut.NULL else removed).update(switch.answer_members)
    return Edit(frozenset(removed), frozenset(nulled))


@dataclass(frozen=True, slots=True)
class Removal:
    """What is taken out of an answer, because the client did not ask for it but Phoebe did."""

    usage_switches: tuple[UsageSwitch, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is taken out."""
        return bool(self.usage_switches)

    def drops(self, usage: ChunkUsage) -> bool:
        """Whether a chunk is left out whole."""
        return usage is ChunkUsage.FINAL and any(
            switch.take_out is TakeOut.CHUNK for switch in self.usage_switches
        )

    def edit(self, usage: ChunkUsage) -> Edit:
        """Say what may have to be taken out of a chunk or document that stays."""
        skipped = _LEFT_IN[usage]
        return edit_of(switch for switch in self.usage_switches if switch.take_out not in skipped)

    def edits(self) -> Mapping[ChunkUsage, Edit]:
        """Say it for chunks of every kind of usage."""
        return {usage: self.edit(usage) for usage in ChunkUsage}


def without_last(content: bytes, name: bytes) -> bytes | None:
    """Take an object of this name out of a JSON object of which it is the last member.

    Nearly every chunk with running usage is like that. None: it has to be looked at more closely.
    """
    mark = b',"%s":{' % name
    start = content.rfind(mark)
    if start < 0 or content[-1:] != b"}" or b"\\u" in content or content.count(b'"%s"' % name) != 1:
        return None
    value = content[start + len(mark) - 1 : -1]
    is_whole = value[-1:] == b"}" and parse(value) is not None
    return content[:start] + b"}" if is_whole else None


def edited(content: bytes, edit: Edit) -> bytes:
    """Take what was added out of a short JSON object; what is none, not even nearly, stays as it is."""
    removed, nulled = edit.removed, edit.nulled
    if b"\\u" not in content and not any(name.encode() in content for name in removed | nulled):
        return content
    try:
        text = content.decode("utf-8", "surrogateescape")
        changes = changes_without(document_members(text), removed, nulled)
    except (ValueError, RecursionError):
        skimmer = JsonSkimmer(Wanted(), spans=True)
        skimmer.feed(content)
        return edited_at(content, skimmer.spans or [], edit) if skimmer.ended else content
    changed = replaced(text, [(start, end, "null" if null else "") for start, end, null in changes])
    return changed.encode("utf-8", "surrogateescape")


def edited_at(content: bytes, members: Sequence[MemberSpan], edit: Edit) -> bytes:
    """Take what was added out of a JSON object of which it is known where its members stand."""
    removed, nulled = ({name.encode() for name in names} for names in (edit.removed, edit.nulled))
    changes = changes_without(members, removed, nulled)
    return replaced(content, [(start, end, b"null" if null else b"") for start, end, null in changes])


def data_of(event: bytes) -> bytes:
    """Return the joined data of an event."""
    lines = (_DATA_LINE.fullmatch(line) for line in event.splitlines(keepends=True))
    values = (event_line[0][4:].rstrip(b"\r\n") for event_line in lines if event_line)
    return b"\n".join(value.removeprefix(b":").removeprefix(b" ") for value in values)


def with_data(event: bytes, data: bytes, before: bytes) -> bytes:
    """Put other data into an event. Data that is spread over lines stays so, as far as there is any left.

    before: the data that is in it.
    """
    if b"\n" not in data and event == b"data: %s\n\n" % before:
        return b"data: %s\n\n" % data
    values = iter(data.split(b"\n"))
    lines: list[bytes] = []
    for line in event.splitlines(keepends=True):
        data_line = _DATA_LINE.fullmatch(line)
        if data_line is None:
            lines.append(line)
        elif (value := next(values, None)) is not None:
            name, separator, end = data_line.groups()
            lines.append(name + (separator or b": ") + value + end)
    return b"".join(lines)
