"""What can be wrong with a price file, with its place."""

from dataclasses import dataclass

from phoebe_runtime.counts import counted

_SHOWN_CHARS = 80  # a fault is read on a terminal; a name can be as long as the file

# Some hundred kilobytes. One mistake can be on every line of a large file.
_WRITTEN_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, or worth a warning.

    `line` counts from 1 and is None for what concerns the whole file; `model` and `field` are None where no
    single one is meant.
    """

    line: int | None
    model: str | None
    field: str | None
    message: str

    def __str__(self) -> str:
        """Write place and message on one line, whatever characters the file's names are made of."""
        place = (
            f"line {self.line}" if self.line is not None else None,
            shown(self.model) if self.model is not None else None,
            shown(self.field) if self.field is not None else None,
        )
        named = ", ".join(part for part in place if part)
        return f"{named}: {self.message}" if named else self.message


class PriceFileError(ValueError):
    """A price file was refused; nothing of it was loaded. `faults` holds everything that is wrong with it."""

    def __init__(self, source: str, faults: tuple[Fault, ...]) -> None:
        self.source = source
        self.faults = faults
        super().__init__(source, faults)

    def __str__(self) -> str:
        """Write the source and the faults, one per line, up to what anybody would read."""
        lines = [
            f"{self.source}: {counted(len(self.faults), 'fault')}",
            *(f"  {fault}" for fault in self.faults[:_WRITTEN_MAX]),
        ]
        if len(self.faults) > _WRITTEN_MAX:
            lines.append(f"  and {len(self.faults) - _WRITTEN_MAX} more")
        return "\n".join(lines)


def shown(text: str) -> str:
    """Quote text of a price file for a message: printable, and no longer than fits one."""
    whole = text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
    escaped = whole.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in escaped) + '"'
